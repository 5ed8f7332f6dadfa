"""What a report is made of: sections with findings in words, tables, charts and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.evaluation.statistics import Interval

Value = str | int | float | Interval | None
"""A cell of a table: an `Interval` becomes three columns of its CSV; None is an empty cell."""
Row = Mapping[str, Value]
DIGITS = 3
TOO_SHORT = ("", "name", "path", "_target_")
"""Last parts of keys that say too little alone."""


@dataclass(frozen=True)
class Table:
    """Rows under columns, in the order in which the columns first come.

    Attributes:
        name: The name of its files; unlike every other table's in the report, of letters, digits, `-` and `_`.
        title: What stands above it.
        rows: By column.
        note: What its figures are, how they were computed, and over what; stands below.
        digits: After the point, for columns that need other than three.
        best: Columns whose highest value is set bold.
        shaded: Whether figures are shaded by their value, as in a matrix.
    """

    name: str
    title: str
    rows: Sequence[Row]
    note: str = ""
    digits: Mapping[str, int] = field(default_factory=dict)
    best: Sequence[str] = ()
    shaded: bool = False

    @property
    def columns(self) -> list[str]:
        """Every column of any row."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    def label(self, column: str) -> str:
        """Give what stands above a column: the last part of a setting's key, where that says enough."""
        short = column.rpartition(".")[2]
        others = [other.rpartition(".")[2] for other in self.columns if other != column]
        return column if short in (*TOO_SHORT, *others) else short

    def shown(self, column: str, value: Value) -> str:
        """Give a value as it is read by people."""
        digits = self.digits.get(column, DIGITS)
        if value is None:
            return ""
        if isinstance(value, Interval):
            return interval_words(value, digits)
        if isinstance(value, float):
            return "" if value != value else f"{value:,.{digits}f}"
        return f"{value:,}" if isinstance(value, int) else value


@dataclass(frozen=True)
class Chart:
    """A drawing that follows the page's colours.

    Attributes:
        title: What stands above it.
        svg: The drawing, as `pipeline.reporting.charts` makes it; texts in it are escaped already.
        note: What is drawn; stands below.
    """

    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture that was there already.

    Attributes:
        title: What stands above it; also what is read out where it cannot be seen.
        content: The file's bytes.
        kind: Its form.
    """

    title: str
    content: bytes
    kind: Literal["png", "jpeg"] = "png"


@dataclass(frozen=True)
class Section:
    """One part of a report; a function `section(cells: Cells) -> Section | None` in a small file makes it.

    Attributes:
        title: Its heading.
        findings: Sentences, each with its interval and its control; they stand at the top of the report, under a link
            to this section, so there should be few.
        tables: In order.
        charts: Shown before the tables.
        pictures: Shown after the charts.
        notes: Sentences that belong to the section alone: what was left out, what its figures do not say.
    """

    title: str
    findings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


def interval_words(interval: Interval, digits: int = DIGITS, *, signed: bool = False) -> str:
    """Write a mean with its interval, as `0.412 [0.391, 0.433]`; the mean alone where there is no interval."""
    sign = "+" if signed else ""
    if interval.mean != interval.mean:
        return ""
    mean = f"{interval.mean:{sign}.{digits}f}"
    if interval.low != interval.low:
        return mean
    return f"{mean} [{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}]"
