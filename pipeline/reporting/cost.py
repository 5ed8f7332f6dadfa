"""What it cost: seconds, steps and encoded texts."""

from collections.abc import Sequence
from typing import Any

from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.configurations import Configuration, configurations, is_run
from pipeline.reporting.plurals import counted
from pipeline.reporting.section import Section, Table
from pipeline.reporting.side_files import read_timings

COUNTS = {
    "encoded_texts": "encoded texts",
    "encoded_tokens": "encoded tokens",
    "looked_up_texts": "looked-up texts",
    "training_steps": "training steps",
}
NOTE = "Looked-up texts: their vectors came out of a table instead of an encoder."


def section(cells: Cells) -> Section | None:
    """Tabulate the cost of every run, and add it up."""
    runs = [cell for cell in cells if is_run(cell)]
    if not runs:
        return None
    tables = []
    for number, group in enumerate(cells.groups(), start=1):
        if rows := [_row(one, cell) for one in configurations(group) for cell in one.cells if is_run(cell)]:
            title = f"Cost by run: {group.title}"
            tables.append(Table(f"cost-{number}", title, rows, NOTE, {"seconds": 0, "seconds of scoring": 1}))
    older = sum(_seconds(cell) is None for cell in runs)
    missing = (
        [
            f"{older} of {counted(len(runs), 'run')} {'is' if older == 1 else 'are'} of an older form that kept the seconds of scoring only."
        ]
        if older
        else []
    )
    return Section("Cost", tables=tables, notes=[*_total(tables), *missing])


def _row(one: Configuration, cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {**one.settings}
    row |= {"seed": cell.seed, "seconds": _seconds(cell)}
    row |= {words: cell.cost.get(key) for key, words in COUNTS.items() if key in cell.cost}
    return row | {"training steps": cell.training.get("steps"), "seconds of scoring": read_timings(cell.folder)}


def _seconds(cell: Cell) -> float | None:
    """Give what all attempts took; older folders do not say."""
    return cell.cost.get("seconds", cell.record.seconds if cell.record else None)


def _total(tables: Sequence[Table]) -> list[str]:
    rows: list[Any] = [row for table in tables for row in table.rows]
    known = [(name, sum(row.get(name) or 0 for row in rows)) for name in ("seconds", *COUNTS.values())]
    said = [f"{round(total):,} {name}" for name, total in known if total]
    return [f"In all {counted(len(rows), 'run')}: {', '.join(said)}."] if said else []
