"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import csv
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from omegaconf import OmegaConf

from pipeline.reporting.command import report
from tests.reporting.planted import plant_grid, plant_probe, plant_run, scores_of

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = {"width": 390, "height": 844}
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, png) -> Path:
    """A report with every kind of table, chart and picture, and with queries that hold HTML."""
    folder = tmp_path_factory.mktemp("report")
    texts = [f"<b>query</b> {number} </script><img src=http://elsewhere/x>" for number in range(40)]
    plant_grid(folder / "grid", texts=texts)
    plant_run(folder / "grid" / "more", steps=100, systems={"zero_shot": scores_of(1, 0.4), "dense": scores_of(2, 0.7)})
    plant_probe(folder / "probe", png)
    given = {"compare": [f"{folder}/grid", f"{folder}/probe"], "folder": f"{folder}/out"}
    return report(OmegaConf.create(given | {"models": [], "run_files": [], "sweep": None, "latency": False}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make install-dev")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, page_file) -> Iterator[Any]:
    """Open the page, and hold against it whatever it says on the console or asks of the network."""
    page = browser.new_page(accept_downloads=True)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url))
    page.goto(page_file.as_uri())
    yield page
    page.close()
    assert said == []


def column(page: Any, table: str, place: int) -> list[str]:
    return page.locator(f"[aria-labelledby=table-{table}] tbody tr td:nth-child({place})").all_inner_texts()


def test_it_opens_without_errors_and_without_a_network_and_is_small(opened, page_file):
    assert opened.title() == "grid, probe"
    assert opened.locator("h2").all_inner_texts()[0] == "Findings"
    assert page_file.stat().st_size < LARGEST
    assert opened.locator("td b, td img").count() == 0


def test_a_table_is_sorted_by_the_keyboard_alone(opened):
    before = column(opened, "queries-1", 4)
    head = opened.locator("[aria-labelledby=table-queries-1] th").nth(3)
    head.locator("button").focus()
    opened.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    values = [float(value) for value in column(opened, "queries-1", 4)]
    assert values == sorted(values, reverse=True)
    opened.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(opened, "queries-1", 4) == sorted(before, key=float)
    outline = head.locator("button").evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"


def test_the_first_key_leads_past_the_head_to_the_findings(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "findings"


def test_a_download_holds_the_table(opened, page_file):
    with opened.expect_download() as waiting:
        opened.locator("a[download='results-1.csv']").click()
    content = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert content == (page_file.parent / "tables" / "results-1.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(StringIO(content)))
    assert len(rows) == opened.locator("[aria-labelledby=table-results-1] tbody tr").count()
    for link in opened.locator("a.csv").all():
        assert unquote(link.get_attribute("href")).startswith("data:text/csv;charset=utf-8,")


def test_a_phone_scrolls_tables_inside_their_own_boxes(opened):
    opened.set_viewport_size(PHONE)
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = opened.locator("[aria-labelledby=table-results-1]")
    assert box.evaluate("element => element.scrollWidth > element.clientWidth")


def test_dark_follows_the_system_and_the_button(opened):
    background = "getComputedStyle(document.body).backgroundColor"
    opened.emulate_media(color_scheme="light")
    light = opened.evaluate(background)
    opened.emulate_media(color_scheme="dark")
    dark = opened.evaluate(background)
    assert light != dark
    opened.locator("#theme").press("Enter")
    assert opened.evaluate(background) == light
    opened.wait_for_timeout(500)  # Chromium writes a page's storage a moment later
    opened.reload()
    assert opened.evaluate(background) == light


def test_paper_shows_whole_tables_without_buttons(opened):
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.locator("#theme").is_visible()
    assert opened.locator(".scroll").first.evaluate("element => getComputedStyle(element).overflowX") == "visible"
