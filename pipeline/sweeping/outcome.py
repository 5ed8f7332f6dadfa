"""What became of the cells of a sweep: the table at its end, and `sweep.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.errors import UserError
from pipeline.evaluation.cell_record import SWEEP
from pipeline.evaluation.result_folder import LOCK
from pipeline.files import is_locked, locked, read_json, write_json
from pipeline.progress import duration
from pipeline.sweeping.plan import PlannedCell

State = Literal["done", "resumed", "failed", "skipped", "running", "waiting"]
STYLES = {"failed": "red", "skipped": "dim", "resumed": "dim"}


@dataclass(frozen=True)
class CellOutcome:
    """What became of one cell.

    Attributes:
        folder: Its run folder, as seen from the sweep's.
        overrides: What it has on the axes.
        state: `done` in this sweep, `resumed` from an earlier one, `failed`, `skipped`, or not there yet.
        sentence: Why it failed or was skipped.
        seconds: What it took.
    """

    folder: str
    overrides: dict[str, str]
    state: State
    sentence: str | None = None
    seconds: float | None = None


def outcome_of(cell: PlannedCell, axes: Sequence[str], sweep: Path, unrecorded: str | None = None) -> CellOutcome:
    """Look up what became of a cell.

    Args:
        cell: As it was planned.
        axes: Overrides that say which cell it is.
        sweep: The folder of the sweep.
        unrecorded: Why the launcher gave the cell up, where the cell itself could not say.
    """
    path = cell.folder.path
    folder = str(path.relative_to(sweep)) if path.is_relative_to(sweep) else str(path)
    record = cell.record
    state, sentence = _state(cell, unrecorded)
    return CellOutcome(folder, cell.choices(axes), state, sentence, record.seconds if record else None)


def _state(cell: PlannedCell, unrecorded: str | None) -> tuple[State, str | None]:
    if cell.reason is not None:
        return "skipped", cell.reason
    if cell.resumed:
        return "resumed", None
    if cell.folder.finished:
        return "done", None
    if is_locked(cell.folder.path / LOCK):  # by this sweep or by another
        return "running", None
    if unrecorded is not None:
        return "failed", unrecorded
    record = cell.record
    if record is None:
        return "waiting", None
    if record.state == "failed":
        return "failed", record.sentence
    return "failed", f"its process (pid {record.pid} on {record.host}) ended without a word: killed, or out of memory."


def write_outcomes(
    outcomes: Sequence[CellOutcome], name: str, command: Sequence[str], axes: Mapping[str, Sequence[str]], sweep: Path
) -> None:
    """Write `sweep.json` into the folder of the sweep; cells and axes of earlier commands stay in it."""
    with locked(sweep / SWEEP, f"the list of cells in {sweep}"):
        before = _written(sweep / SWEEP)
        cells: dict[str, dict[str, Any]] = {cell["folder"]: cell for cell in before["cells"]}
        cells |= {outcome.folder: asdict(outcome) for outcome in outcomes}
        merged = {
            key: list(dict.fromkeys([*before["axes"].get(key, []), *axes.get(key, [])]))
            for key in [*before["axes"], *(key for key in axes if key not in before["axes"])]
        }
        said = {"name": name, "command": list(command), "axes": merged, "cells": list(cells.values())}
        write_json(sweep / SWEEP, said)


def _written(path: Path) -> dict[str, Any]:
    """Read what earlier commands wrote; run folders are the truth, so a damaged list is begun anew."""
    try:
        found = read_json(path)
        return {"axes": dict(found["axes"]), "cells": [cell for cell in found["cells"] if "folder" in cell]}
    except (UserError, KeyError, TypeError, ValueError):
        return {"axes": {}, "cells": []}


def outcomes_table(outcomes: Sequence[CellOutcome], axes: Sequence[str], title: str) -> Table:
    """Lay the cells out for the terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in (*axes, "state", "took", "why"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        took = "" if outcome.seconds is None else duration(outcome.seconds)
        choices = (outcome.overrides.get(key, "") for key in axes)
        table.add_row(*choices, outcome.state, took, outcome.sentence or "", style=STYLES.get(outcome.state, ""))
    return table
