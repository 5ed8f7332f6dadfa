"""Finished runs and evaluations as a report reads them, and which of them may be compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.evaluation.cell_record import CellRecord
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.report import dataset_label
from pipeline.reporting.plurals import counted_queries


@dataclass(frozen=True)
class Cell:
    """One finished run folder or evaluation folder.

    Attributes:
        folder: Where it is.
        name: How the report calls it.
        metrics: What its `metrics.json` holds.
        config: What its `config.yaml` holds; empty for an evaluation.
        overrides: What the command line, or the sweep, chose for it.
        scores: By system, what each query earned.
        queries: Texts of the scored queries by id.
        record: What its `cell.json` holds; None for older folders.
        cost: The figures of its `cost.json`; empty for older folders.
    """

    folder: Path
    name: str
    metrics: dict[str, Any]
    config: dict[str, Any]
    overrides: dict[str, str]
    scores: dict[str, Scores] = field(repr=False)
    queries: dict[str, str] = field(repr=False)
    record: CellRecord | None = None
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def training(self) -> dict[str, Any]:
        """What the run says of its training; empty for an evaluation."""
        return self.metrics.get("training") or {}

    @property
    def trains(self) -> bool:
        """Whether the run has been scored before and after a training."""
        return bool(self.training) and {"zero_shot", "dense"} <= self.scores.keys()

    @property
    def seed(self) -> int | None:
        """What everything drawn in the run was drawn from."""
        return self.config.get("seed")

    @property
    def pretraining(self) -> dict[str, Any]:
        """What the run says of masked-LM pre-training that went before it; empty where none did."""
        return self.training.get("pretraining") or {}

    def values(self, system: str, measure: str) -> Any:
        """What each query earned, float64 [queries]."""
        return self.scores[system].per_query[measure]


@dataclass(frozen=True)
class Probe:
    """A finished probe: its findings, its summary, and its pictures as PNG files."""

    folder: Path
    name: str
    title: str
    findings: list[str]
    summary: list[dict[str, str]]
    pictures: list[Path]


@dataclass(frozen=True)
class MaskedLM:
    """A finished masked-LM run: what it says of itself, and of what it was made."""

    folder: Path
    name: str
    record: dict[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True)
class Absent:
    """A cell that has no figures: its name, its state (`failed`, `skipped`, `unfinished`, `left out`), and why."""

    name: str
    state: str
    sentence: str


@dataclass(frozen=True)
class Group:
    """Cells that may be compared: one dataset, split and set of queries, and measures that all of them have.

    Attributes:
        cells: In the order in which they were read.
        measures: Those that all of them have.
        title: The dataset and its split, and what tells it from another group of the same name.
    """

    cells: Sequence[Cell]
    measures: list[str]
    title: str

    @property
    def queries(self) -> int:
        """How many queries were scored."""
        return len(next(iter(self.cells[0].scores.values())).query_ids)


@dataclass(frozen=True)
class Cells:
    """Everything that a report is about; iterating gives the finished cells.

    Attributes:
        finished: Runs and evaluations with figures.
        probes: Probe folders.
        masked: Masked-LM runs, which have no systems.
        absent: What has no figures, and why.
        sweeps: What `sweep.json` holds, by the name of the sweep's folder.
        notes: What could not be read, and is no cell.
    """

    finished: Sequence[Cell]
    probes: Sequence[Probe] = ()
    masked: Sequence[MaskedLM] = ()
    absent: Sequence[Absent] = ()
    sweeps: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.finished)

    def __len__(self) -> int:
        return len(self.finished)

    def groups(self) -> list[Group]:
        """Put together what may be compared, in the order in which it was read."""
        return groups_of(self.finished)


def groups_of(cells: Sequence[Cell]) -> list[Group]:
    """Put together cells with the same queries and judgements; those that share no measure stay apart."""
    alike: dict[Any, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(_scored_on(cell), []).append(cell)
    groups: list[tuple[list[Cell], list[str]]] = []
    for together in alike.values():
        if shared := _shared_measures(together):
            groups.append((together, shared))
            continue
        by_measures: dict[tuple[str, ...], list[Cell]] = {}
        for cell in together:
            by_measures.setdefault(tuple(cell.metrics["measures"]), []).append(cell)
        groups += [(apart, list(measures)) for measures, apart in by_measures.items()]
    titles = _titles(groups)
    return [Group(together, measures, title) for (together, measures), title in zip(groups, titles, strict=True)]


def _titles(groups: Sequence[tuple[Sequence[Cell], Sequence[str]]]) -> list[str]:
    """Name groups by dataset and split, then as far as needed by what else two of the same name may differ in."""
    firsts = [cells[0].metrics for cells, _ in groups]
    titles = [", ".join(part for part in (dataset_label(metrics), metrics["split"]) if part) for metrics in firsts]
    further = (
        [counted_queries(metrics["queries"]) for metrics in firsts],
        [" ".join(measures) for _, measures in groups],
        *([f"{key}={metrics.get(key)}" for metrics in firsts] for key in ("relevant_from", "remove_self_hits")),
        [f"set {number}" for number in range(1, len(firsts) + 1)],
    )
    for words in further:
        shared = [title for title in titles if titles.count(title) > 1]
        tells = {
            title: len({word for word, other in zip(words, titles, strict=True) if other == title}) for title in shared
        }
        titles = [
            f"{title}, {word}" if tells.get(title, 1) > 1 else title for title, word in zip(titles, words, strict=True)
        ]
    return titles


def _scored_on(cell: Cell) -> tuple[Any, ...]:
    """Everything that two cells must share for their figures to mean the same."""
    keys = ("dataset", "split", "fingerprint", "documents", "relevant_from", "remove_self_hits")
    return (*(cell.metrics.get(key) for key in keys), tuple(next(iter(cell.scores.values())).query_ids))


def _shared_measures(cells: Sequence[Cell]) -> list[str]:
    return [
        name for name in cells[0].metrics["measures"] if all(name in cell.metrics["measures"] for cell in cells[1:])
    ]
