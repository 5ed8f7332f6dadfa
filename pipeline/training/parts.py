"""The parts that a training is made of, one after the other, and their curves on one axis of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import write_csv

Rows = Sequence[dict[str, float]]


@dataclass(frozen=True)
class Part:
    """One part of a training; most trainings have no other.

    Attributes:
        name: What is done in it, such as `fine-tuning`.
        losses: One row for every few steps, steps counted from the beginning of the first part.
        validations: One row for every validation, counted likewise.
        begins: How many steps were taken before it.
    """

    name: str
    losses: Rows
    validations: Rows
    begins: int = 0

    @property
    def rows(self) -> list[dict[str, float]]:
        """Losses and validations, by step."""
        return sorted([*self.losses, *self.validations], key=lambda row: row["step"])


def parts_of(trained: dict[str, Any]) -> list[Part]:
    """Read the parts out of what a run folder says about its training.

    Args:
        trained: `training` of a `metrics.json`: with `curves`, and under `align` the same of a part before it.

    Returns:
        The parts in their order; none where nothing was trained.
    """
    if "curves" not in trained:
        return []
    before = trained.get("align")
    if before is None:
        return [_part(trained["stage"], trained["curves"], 0)]
    return [_part("alignment", before["curves"], 0), _part("fine-tuning", trained["curves"], before["steps"])]


def _part(name: str, curves: dict[str, Rows], steps_before: int) -> Part:
    losses, validations = (
        [{**row, "step": row["step"] + steps_before} for row in curves[kind]] for kind in ("loss", "validation")
    )
    return Part(name, losses, validations, steps_before)


def write_curves(parts: Sequence[Part], path: Path) -> None:
    """Write losses and validations by step as CSV, of the whole training however often it was resumed.

    Args:
        parts: Of the training; where there are several, a first column names them.
        path: Where the file goes.

    Raises:
        UserError: When the disk is full or the folder may not be written.
    """
    rows = [({"part": part.name} if len(parts) > 1 else {}) | row for part in parts for row in part.rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(path, columns, ([row.get(column) for column in columns] for row in rows))
