"""What it cost: seconds, steps and encoded texts."""

from collections.abc import Sequence
from typing import Any

from pipeline.files import read_json
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.section import Section, Table
from pipeline.reporting.settings import setting, telling_columns

COUNTS = {
    "encoded_texts": "encoded texts",
    "encoded_tokens": "encoded tokens",
    "looked_up_texts": "looked-up texts",
    "training_steps": "training steps",
}


def section(cells: Cells) -> Section | None:
    """Tabulate the cost of every run, and add it up."""
    runs = [cell for cell in cells if cell.training]
    if not runs:
        return None
    columns = telling_columns([cell.config for cell in runs], [cell.overrides for cell in runs])
    rows = [_row(cell, columns) for cell in runs]
    table = Table("cost", "Cost by run", rows, _note(rows, runs), digits={"seconds": 0, "seconds of scoring": 1})
    return Section("Cost", tables=[table], notes=_total(rows))


def _row(cell: Cell, columns: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {column: setting(cell.config, cell.overrides, column) for column in columns}
    row = row or {"run": cell.name}
    row |= {"seed": cell.seed, "seconds": cell.cost.get("seconds", cell.record.get("seconds"))}
    row |= {words: cell.cost.get(key) for key, words in COUNTS.items() if key in cell.cost}
    return row | {"training steps": cell.training.get("steps"), "seconds of scoring": _scoring(cell)}


def _scoring(cell: Cell) -> float | None:
    """Add up what encoding, indexing and searching took; older folders say no more."""
    path = cell.folder / "timings.json"
    if not path.exists():
        return None
    return float(sum(seconds for system in read_json(path).values() for seconds in system.values()))


def _note(rows: Sequence[dict[str, Any]], runs: Sequence[Cell]) -> str:
    older = sum(not cell.cost and "seconds" not in cell.record for cell in runs)
    missing = (
        f" {older} of {len(rows)} runs are of an older form that kept the seconds of scoring only." if older else ""
    )
    return f"Looked-up texts: their vectors came out of a table instead of an encoder.{missing}"


def _total(rows: Sequence[dict[str, Any]]) -> list[str]:
    known = [(name, sum(row.get(name) or 0 for row in rows)) for name in ("seconds", *COUNTS.values())]
    said = [f"{round(total):,} {name}" for name, total in known if total]
    return [f"In all {len(rows)} runs: {', '.join(said)}."] if said else []
