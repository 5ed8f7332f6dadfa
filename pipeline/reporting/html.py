"""The report as one HTML file that loads nothing: style, script, drawings and pictures are in it."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.csv_table import csv_text
from pipeline.reporting.section import Picture, Row, Section, Table, Value

SHORT = 32
"""Letters that need not be broken into lines."""
PAGE = Path(__file__).resolve().parent / "page"


@dataclass(frozen=True)
class Shown:
    """One cell of a table as the page shows it.

    Attributes:
        words: What is read.
        interval: What stands behind it in brackets.
        key: What it is sorted by; None: by its words.
        kind: `number` where it stands on the right, `short` where its words stay on one line, or nothing.
        best: Whether it is the highest of its column.
        shade: How strongly it is shaded, 0 to 1; None: not at all.
        up: Whether it is above 0.
    """

    words: str
    interval: str
    key: str | None
    kind: str
    best: bool
    shade: float | None
    up: bool


def render_html(title: str, subtitle: str, folders: str, sections: Sequence[Section]) -> str:
    """Write the page.

    Args:
        title: Its heading.
        subtitle: A line below it.
        folders: What was compared.
        sections: In order.
    """
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["csv_uri"] = lambda table: f"data:text/csv;charset=utf-8,{quote(csv_text(table))}"
    environment.filters["data_uri"] = _data_uri
    environment.tests["numeric"] = is_numeric
    return environment.get_template("report.html.jinja").render(
        title=title,
        subtitle=subtitle,
        folders=folders,
        sections=list(sections),
        cells=_cells,
        css=(PAGE / "report.css").read_text(encoding="utf-8"),
        script=(PAGE / "report.js").read_text(encoding="utf-8"),
    )


def is_numeric(table: Table, column: str) -> bool:
    """Whether a column holds figures only."""
    values = [value for row in table.rows if (value := row.get(column)) not in (None, "")]
    return bool(values) and all(_number(value) is not None for value in values)


def _cells(table: Table, row: Row) -> Iterator[Shown]:
    for column in table.columns:
        value = row.get(column)
        mean, _, interval = (
            table.shown(column, value).partition(" [") if isinstance(value, Interval) else (None, "", "")
        )
        number = _number(value)
        yield Shown(
            words=mean if mean is not None else table.shown(column, value),
            interval=f"[{interval}" if interval else "",
            key=None if number is None else repr(number),
            kind="number" if is_numeric(table, column) else "short" if len(table.shown(column, value)) <= SHORT else "",
            best=_is_best(table, column, number),
            shade=_shade(table, value),
            up=(number or 0) > 0,
        )


def _number(value: Value) -> float | None:
    """Give what a value is sorted by, where it is a figure, or words that read as one."""
    if isinstance(value, Interval):
        value = value.mean
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def _is_best(table: Table, column: str, number: float | None) -> bool:
    if column not in table.best or number is None or len(table.rows) < 2:
        return False
    return number == max(other for row in table.rows if (other := _number(row.get(column))) is not None)


def _shade(table: Table, value: Value) -> float | None:
    if not table.shaded or not isinstance(value, Interval):
        return None
    figures = [abs(one.mean) for row in table.rows for one in row.values() if isinstance(one, Interval)]
    return round(abs(value.mean) / (max(figures) or 1.0), 3)


def _data_uri(picture: Picture) -> str:
    return f"data:image/{picture.kind};base64,{base64.b64encode(picture.content).decode()}"
