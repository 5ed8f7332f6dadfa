"""The cells of a sweep beside each other: what differed between them, what came out, and which have collapsed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.errors import UserError
from pipeline.evaluation.approximation import recall_of
from pipeline.evaluation.report import dataset_label
from pipeline.evaluation.results import METRICS
from pipeline.evaluation.training_words import below_start_words, collapse_words
from pipeline.files import read_json, write_csv

OVERRIDES = "overrides.yaml"
"""What the command line changed for a run, as `key=value`."""
FIGURES = {
    "query cosine": "query/mean_cosine",
    "document cosine": "document/mean_cosine",
    "query rank": "query/effective_rank",
    "document rank": "document/effective_rank",
}
"""Columns that say whether a tower has collapsed, and where the last validation has them."""

PRETRAINING = {"masked-LM loss": "loss", "word frequencies": "unigram_entropy", "pre-trained": "learned"}
"""Columns that say what masked-language-model pre-training came to, where there was any."""


@dataclass(frozen=True)
class Cell:
    """One finished run of a sweep.

    Attributes:
        name: Its folder's.
        overrides: What the command line, or the sweep, chose for it.
        metrics: What its `metrics.json` holds.
    """

    name: str
    overrides: dict[str, str]
    metrics: dict[str, Any]

    def row(self, chosen: Sequence[str]) -> dict[str, Any]:
        """Give the row of a table: the chosen overrides, the dense system's measures, and the figures of collapse."""
        training = self.metrics["training"]
        validations = training.get("curves", {}).get("validation", [{}])
        row: dict[str, Any] = {key: self.overrides.get(key, "") for key in chosen} or {"run": self.name}
        row |= {"data": dataset_label(self.metrics)}
        row |= {name: self.metrics["systems"]["dense"][name] for name in self.metrics["measures"]}
        recall = recall_of(self.metrics.get("details", {}).get("dense", {}))
        row |= {f"{at} of exact search": share for at, share in recall.items()}
        record = training.get("pretraining", {})
        row |= {column: record[key] for column, key in PRETRAINING.items() if key in record}
        row |= {column: validations[-1].get(key) for column, key in FIGURES.items()}
        parts = [training.get("align") or {}, training]
        row |= {"below its start": "; ".join(filter(None, map(below_start_words, parts))) or "no"}
        return row | {"collapsed": collapse_words(training)}


def read_cells(folder: Path) -> list[Cell]:
    """Read every finished run folder right below a folder.

    Raises:
        UserError: When there is none.
    """
    cells = []
    for place in sorted(Path(folder).glob(f"*/{METRICS}")):
        chosen = place.parent / OVERRIDES
        overrides = OmegaConf.to_container(OmegaConf.load(chosen)) if chosen.exists() else []
        pairs = [str(override).lstrip("+~").partition("=") for override in overrides]  # type: ignore[union-attr]
        cells.append(Cell(place.parent.name, {key: value for key, _, value in pairs}, read_json(place)))
    cells = [cell for cell in cells if _is_training(cell.metrics)]
    if not cells:
        raise UserError(f"sweep={folder} has no finished run folder in it; give the folder that a sweep wrote into.")
    return cells


def _is_training(metrics: dict[str, Any]) -> bool:
    """Tell a run of `train.py` from other results: it retrieves with the encoder that it trained, or pre-trains one."""
    training = metrics.get("training") or {}
    return bool(training) and ("dense" in metrics["systems"] if metrics["systems"] else "pretraining" in training)


def rows_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Give one row for each cell; settings that all of them share are left out, and names, unless nothing else differs."""
    keys = dict.fromkeys(key for cell in cells for key in cell.overrides)
    chosen = [key for key in keys if len({cell.overrides.get(key) for cell in cells}) > 1]
    alike = len({tuple(map(cell.overrides.get, chosen)) for cell in cells}) < len(cells)
    rows = [({"run": cell.name} if alike else {}) | cell.row(chosen) for cell in cells]
    return sorted(rows, key=lambda row: [str(row[key]) for key in chosen])


def cells_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """Lay the rows out for the terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    columns = columns_of(rows)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "red" if row["collapsed"] != "no" else "yellow" if row["below its start"] != "no" else ""
        table.add_row(*(_shown(column, row.get(column)) for column in columns), style=style)
    return table


def columns_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Give the columns of all rows, whether a row is collapsed last."""
    return [*dict.fromkeys(column for row in rows for column in row if column != "collapsed"), "collapsed"]


def write_cells(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the rows as CSV, whole or not at all."""
    columns = columns_of(rows)
    write_csv(path, columns, ([row.get(column) for column in columns] for row in rows))


def _shown(column: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:.1f}" if column.endswith("rank") else f"{value:.4f}"
