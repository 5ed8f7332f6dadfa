"""Tables and texts as HTML, CSV, Markdown and LaTeX: nothing in a text is taken for a command."""

import csv
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.charts import curves, forest, scatter
from pipeline.reporting.csv_table import csv_text
from pipeline.reporting.html import render_html
from pipeline.reporting.latex import escaped, latex_table
from pipeline.reporting.markdown import render_markdown
from pipeline.reporting.section import Section, Table

NASTY = '<script>alert("x")</script> & </style> | `a_b` \\cmd{50%} $x^2$ #1 ~'
TABLE = Table(
    "nasty",
    f"Title {NASTY}",
    [
        {"query": NASTY, "nDCG@10": Interval(0.123456789, 0.1, 0.2), "n": 1200},
        {"query": "plain, with comma", "nDCG@10": Interval(0.5, float("nan"), float("nan")), "n": None},
    ],
    note=NASTY,
    best=["nDCG@10"],
)
SECTION = Section(f"Section {NASTY}", [f"Finding {NASTY}"], [TABLE], notes=[f"Note {NASTY}"])


class Tags(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_texts_are_no_html():
    page = render_html(NASTY, NASTY, NASTY, [SECTION])
    parser = Tags()
    parser.feed(page)
    assert parser.tags.count("script") == 2
    assert "<script>alert" not in page
    assert any(NASTY in text for text in parser.text)


def test_the_highest_is_bold_and_figures_are_sorted_by_their_value():
    page = render_html("t", "s", "f", [SECTION])
    assert "<strong>0.500</strong>" in page
    assert 'data-value="0.123456789"' in page
    assert '<span class="interval">[0.100, 0.200]</span>' in page
    assert page.count("[nan") == 0


def test_csv_has_every_digit_and_three_columns_for_an_interval():
    rows = list(csv.DictReader(StringIO(csv_text(TABLE))))
    assert rows[0] == {
        "query": NASTY,
        "nDCG@10": "0.123456789",
        "nDCG@10_low": "0.1",
        "nDCG@10_high": "0.2",
        "n": "1200",
    }
    assert (rows[1]["nDCG@10_low"], rows[1]["n"]) == ("", "")


def test_latex_prints_special_characters_as_they_are():
    written = escaped("50% of a_b & #1 {x} $5 ~ ^ \\ <y>")
    assert written == (
        r"50\% of a\_b \& \#1 \{x\} \$5 \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}y\textgreater{}"
    )
    table = latex_table(TABLE)
    assert r"\begin{tabular}{lrr}" in table
    assert r"0.123 {\scriptsize [0.100, 0.200]} & 1,200 \\" in table
    assert "<script>" not in table
    body = table.split(r"\midrule")[1]
    assert body.count("&") - body.count(r"\&") == 4


def test_latex_never_reads_a_first_cell_as_an_argument_of_what_is_before_it():
    table = latex_table(Table("t", "t", [{"[a]": "[5pt] of", "b": "[x]"}, {"[a]": "* starred", "b": "y"}]))
    assert "\n{[}a] & b \\\\\n" in table
    assert "\n{[}5pt] of & [x] \\\\\n" in table
    assert "\n{*} starred & y \\\\\n" in table


def test_markdown_keeps_a_row_on_a_line_and_texts_as_texts():
    page = render_markdown("t", "s", [SECTION])
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)
    assert "<script>" not in page
    assert "(tables/nasty.csv)" in page


def test_a_column_is_headed_by_the_last_part_of_its_key_where_that_is_enough():
    row = {"trainer.max_steps": "1", "backbone.path": "a", "stage.rate": "1", "query.rate": "2", "nDCG@10": 0.5}
    table = Table("t", "t", [row])
    labels = [table.label(column) for column in table.columns]
    assert labels == ["max_steps", "backbone.path", "stage.rate", "query.rate", "nDCG@10"]


@pytest.mark.parametrize(
    "svg",
    [
        forest([(NASTY, [Interval(0.1, 0.0, 0.2), None])], ["before", NASTY], "nDCG"),
        forest([("flat", [Interval(0.0, 0.0, 0.0)])], ["only"], "gain"),
        curves({NASTY: [(0, Interval(0.1, float("nan"), float("nan"))), (100, Interval(0.3, 0.2, 0.4))]}, "steps", "m"),
        curves({"one": [(10, Interval(0.1, 0.0, 0.2))]}, "steps", "m"),
        scatter([(NASTY, 0.05, 0.4), ("slow", 30.0, 0.6)], "ms", "m"),
        scatter([("alone", 2.0, 0.5)], "ms", "m"),
    ],
)
def test_drawings_are_xml_and_stay_inside(svg):
    drawing = ElementTree.fromstring(svg)
    _, _, width, height = map(float, drawing.get("viewBox").split())
    for circle in drawing.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.get("cx")) <= width
        assert 0 <= float(circle.get("cy")) <= height
    assert "nan" not in svg
