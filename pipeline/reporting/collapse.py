"""Which trainings collapsed: every text gets nearly the same vector, or all vectors lie in a few directions."""

from collections.abc import Sequence
from typing import Any

from pipeline.evaluation.cells import FIGURES, collapse_words
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.section import Section, Table
from pipeline.reporting.settings import setting, telling_columns


def section(cells: Cells) -> Section | None:
    """Tabulate the spread of both towers at each training's last validation."""
    watched = [cell for cell in cells if "collapsed" in cell.training]
    if not watched:
        return None
    columns = telling_columns([cell.config for cell in watched], [cell.overrides for cell in watched])
    table = Table(
        "collapse",
        "Towers at the last validation",
        [_row(cell, columns) for cell in watched],
        "Cosine: mean over pairs of texts, 1 where all vectors point one way. Rank: effective number of directions.",
        digits={column: 1 for column in FIGURES if column.endswith("rank")},
    )
    return Section("Collapse", _findings(watched), [table])


def _row(cell: Cell, columns: Sequence[str]) -> dict[str, Any]:
    validations = cell.training.get("curves", {}).get("validation") or [{}]
    row: dict[str, Any] = {column: setting(cell.config, cell.overrides, column) for column in columns}
    row = row or {"run": cell.name}
    row |= {"seed": cell.seed}
    row |= {column: validations[-1].get(key) for column, key in FIGURES.items()}
    return row | {"collapsed": collapse_words(cell.training)}


def _findings(watched: Sequence[Cell]) -> list[str]:
    """Say how many ended collapsed; a count needs no interval."""
    ended = [cell.name for cell in watched if cell.training["collapsed"]]
    if not ended:
        return []
    few = "; ".join(ended[:5]) + (f"; {len(ended) - 5} more" if len(ended) > 5 else "")
    return [
        f"{len(ended)} of {len(watched)} trainings ended collapsed: {few}. Their scores say what that costs, no more."
    ]
