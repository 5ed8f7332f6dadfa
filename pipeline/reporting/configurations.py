"""Cells that differ in their seed only, as one: the mean over seeds of what each query earned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.approximation import recall_of
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import base_of
from pipeline.reporting.cells import Cell, Group
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.settings import identity, is_untrained, rank, setting, telling_columns

BASE = "base"
"""The column of what training began from: a sweep's choice of it, or its name."""


@dataclass(frozen=True)
class Configuration:
    """One system of cells that differ in their seed only.

    Attributes:
        settings: What tells it apart from the others of its group, by column.
        cells: One for each seed.
        system: Which of their systems is meant.
    """

    settings: dict[str, str]
    cells: Sequence[Cell]
    system: str

    @property
    def name(self) -> str:
        """Its settings in a few words, or its base where nothing tells it apart."""
        return ", ".join(setting_words(self.settings)) or self.system

    @property
    def seeds(self) -> int:
        """How many seeds its figures are means over."""
        return len(self.cells)

    def values(self, measure: str, system: str | None = None) -> np.ndarray:
        """Give what each query earned, mean over the seeds, float64 [queries]."""
        return np.mean([cell.values(system or self.system, measure) for cell in self.cells], axis=0)

    def interval(self, measure: str, system: str | None = None) -> Interval:
        """Give the mean with its 95% interval over queries, the seeds as they are."""
        return interval_of(self.values(measure, system))

    def spread(self, measure: str) -> float | None:
        """Give the standard deviation over seeds of the mean over queries; None for one seed."""
        means = [float(cell.values(self.system, measure).mean()) for cell in self.cells]
        return float(np.std(means, ddof=1)) if len(means) > 1 else None

    def has(self, system: str) -> bool:
        """Whether every seed has a system."""
        return all(system in cell.scores for cell in self.cells)

    def scores(self, measures: Sequence[str]) -> Scores:
        """Give the seeds' mean in the form that tests of significance take."""
        ids = self.cells[0].scores[self.system].query_ids
        return Scores(list(measures), ids, {measure: self.values(measure) for measure in measures})

    @property
    def recall(self) -> float | None:
        """The least share of exact search's results that an approximate index found for a seed; None where it is exact."""
        details = [cell.metrics.get("details", {}).get(self.system, {}) for cell in self.cells]
        return min((share for found in details for share in recall_of(found).values()), default=None)

    def ended(self, mark: str) -> int:
        """Count its seeds whose training ended so: a key of `training_words.MARKS`."""
        return sum(bool(cell.training.get(mark)) for cell in self.cells)


def configurations(group: Group) -> list[Configuration]:
    """Merge the seeds of a group's runs, and take every system of its evaluations but BM25 and hybrids as it is."""
    return [*_of_runs([cell for cell in group.cells if is_run(cell)]), *_of_evaluations(group)]


def is_run(cell: Cell) -> bool:
    """Whether a cell is a run folder, whose own encoder is the system `dense`."""
    return bool(cell.training) and "dense" in cell.scores


def _of_runs(cells: Sequence[Cell]) -> list[Configuration]:
    merged: dict[object, list[Cell]] = {}
    for cell in cells:
        # A run that kept no configuration is like no other.
        together = merged.setdefault(identity(cell.config) if cell.config else cell.name, [])
        if not (
            is_untrained(cell.config) and any(other.config.get("seed") == cell.config.get("seed") for other in together)
        ):
            together.append(cell)
    configs = [together[0].config for together in merged.values()]
    overrides = [together[0].overrides for together in merged.values()]
    columns = telling_columns(configs, overrides)
    found = []
    for together, config, override in zip(merged.values(), configs, overrides, strict=True):
        settings = {column: setting(config, override, column) for column in columns} if config else {}
        alone = {BASE: base_of(together[0]).words} if config else {"run": together[0].name}
        found.append(Configuration(settings or alone, together, "dense"))
    return sorted(found, key=lambda one: [rank(one.settings.get(column, "")) for column in columns])


def _of_evaluations(group: Group) -> list[Configuration]:
    evaluations = [cell for cell in group.cells if not is_run(cell)]
    found = []
    for cell in evaluations:
        where = {"folder": cell.name} if len(group.cells) > 1 else {}
        for system in cell.scores:
            if system != "bm25" and "lexical_weight" not in cell.metrics.get("details", {}).get(system, {}):
                found.append(Configuration({**where, "system": system}, [cell], system))
    return found


def setting_words(settings: Mapping[str, str]) -> list[str]:
    """Write settings for a sentence; what is not set is left out, and a base is called by its name alone."""
    return [value if key == BASE else f"{key.split('.')[-1]} {value}" for key, value in settings.items() if value]


def told_apart(names: Iterable[str], longer: Iterable[str]) -> list[str]:
    """Give each name, or its longer form where another has the same, with a number where that is not enough."""
    names = [*names]
    found = [name if names.count(name) == 1 else long for name, long in zip(names, longer, strict=True)]
    return [
        name if found.count(name) == 1 else f"{name} ({found[: place + 1].count(name)})"
        for place, name in enumerate(found)
    ]
