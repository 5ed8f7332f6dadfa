"""A table as CSV, with every digit; an interval is three columns."""

import csv
from collections.abc import Sequence
from io import StringIO

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.section import Table, Value


def csv_text(table: Table) -> str:
    """Write a table as CSV; an interval's columns are its mean, `…_low` and `…_high`."""
    wide = [column for column in table.columns if any(isinstance(row.get(column), Interval) for row in table.rows)]
    header = [name for column in table.columns for name in _names(column or "row", column in wide)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        writer.writerow([cell for column in table.columns for cell in _cells(row.get(column), column in wide)])
    return text.getvalue()


def _names(column: str, wide: bool) -> list[str]:
    return [column, f"{column}_low", f"{column}_high"] if wide else [column]


def _cells(value: Value, wide: bool) -> Sequence[str]:
    if isinstance(value, Interval):
        return [_written(end) for end in (value.mean, value.low, value.high)]
    return [_written(value), "", ""] if wide else [_written(value)]


def _written(value: Value) -> str:
    """Write a figure so that it is read back as the same; what is no number is empty."""
    if value is None or value != value:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
