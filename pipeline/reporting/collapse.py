"""Which trainings collapsed: every text gets nearly the same vector, or all vectors lie in a few directions."""

from collections.abc import Sequence
from typing import Any

from pipeline.evaluation.cells import FIGURES
from pipeline.evaluation.training_words import MARKS, below_start_words, collapse_words
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.configurations import Configuration, configurations
from pipeline.reporting.plurals import counted
from pipeline.reporting.section import Section, Table


def section(cells: Cells) -> Section | None:
    """Tabulate the spread of both towers at each training's last validation."""
    watched = [cell for cell in cells if "collapsed" in cell.training]
    tables = [
        Table(
            f"collapse-{number}",
            f"Towers at the last validation: {group.title}",
            rows,
            "Cosine: mean over pairs of texts, 1 where all vectors point one way. Rank: effective number of directions.",
            digits={column: 1 for column in FIGURES if column.endswith("rank")},
        )
        for number, group in enumerate(cells.groups(), start=1)
        if (rows := [_row(one, cell) for one in configurations(group) for cell in one.cells if cell in watched])
    ]
    return Section("Collapse", _findings(watched), tables) if tables else None


def _row(one: Configuration, cell: Cell) -> dict[str, Any]:
    validations = cell.training.get("curves", {}).get("validation") or [{}]
    row: dict[str, Any] = {**one.settings, "seed": cell.seed}
    row |= {column: validations[-1].get(key) for column, key in FIGURES.items()}
    return row | {
        "collapsed": collapse_words(cell.training),
        "below its start": below_start_words(cell.training) or "no",
    }


def _findings(watched: Sequence[Cell]) -> list[str]:
    """Say how many ended collapsed, nearly so, or below where they began; a count needs no interval."""
    return [said for key in MARKS if (said := _finding(watched, key))]


def _finding(watched: Sequence[Cell], key: str) -> str | None:
    ended = [cell.name for cell in watched if cell.training.get(key)]
    if not ended:
        return None
    few = "; ".join(ended[:5]) + (f"; {len(ended) - 5} more" if len(ended) > 5 else "")
    head = f"{len(ended)} of {counted(len(watched), 'training')} ended {MARKS[key]}: {few}"
    return f"{head}. Their scores say what that costs, no more." if "collapsed" in key else f"{head}."
