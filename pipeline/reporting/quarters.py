"""What having been read and having been trained on are worth: differences of differences over four quarters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.data.withheld import QUARTERS
from pipeline.evaluation.results import QUARTERS as QUARTERS_FILE
from pipeline.evaluation.statistics import LEAST_CLUSTERS, Interval, bootstrap_of_sums
from pipeline.reporting.cells import Cell, Cells, Group
from pipeline.reporting.side_files import read_rows

STATES = ("zero-shot", "fine-tuned", "masked-LM", "masked-LM, fine-tuned")
"""Of an encoder: as it was given, fine-tuned, and both again after the masked-LM step."""

Weights = np.ndarray
"""What an effect gives to the mean of each quarter in each state, float64 [quarters, states]."""


def _weights(quarters: Sequence[float], states: Sequence[float]) -> Weights:
    """Take a difference of quarters (read, trained, both, neither) of a difference of states."""
    return np.outer(quarters, states)


STEP_BEFORE, STEP_AFTER, TUNING = (-1, 0, 1, 0), (0, -1, 0, 1), (-1, 1, 0, 0)
READ, TRAINED, NEITHER, BOTH = (1, 0, 0, -1), (0, 1, 0, -1), (0, 0, 0, 1), (-1, -1, 1, 1)

EFFECTS: Mapping[str, Weights] = {
    "fine-tuning, on neither": _weights(NEITHER, TUNING),
    "masked-LM, on neither, before": _weights(NEITHER, STEP_BEFORE),
    "masked-LM, on neither, after": _weights(NEITHER, STEP_AFTER),
    "trained on": _weights(TRAINED, TUNING),
    "read, before": _weights(READ, STEP_BEFORE),
    "read, after": _weights(READ, STEP_AFTER),
    "trained on, less read": _weights(TRAINED, TUNING) - _weights(READ, STEP_AFTER),
    "both, beyond the sum": _weights(BOTH, STEP_AFTER),
}
"""With y(quarter, state) the mean over test questions: `trained on` is [y(trained, fine-tuned) - y(trained, zero-shot)] -
[y(neither, fine-tuned) - y(neither, zero-shot)], without the masked-LM step; `read` the same of the masked-LM step's
difference on read minus on neither; `both, beyond the sum` is that step's difference after fine-tuning on (both -
trained) - (read - neither)."""


@dataclass(frozen=True)
class Pair:
    """Two runs that differ in the masked-LM step alone.

    Attributes:
        without: The run without it.
        after: The run after it.
    """

    without: Cell
    after: Cell

    def values(self, measure: str) -> np.ndarray:
        """Give what each query earned in each of `STATES`, float64 [queries, states]."""
        columns = [cell.values(system, measure) for cell in (self.without, self.after) for system in SYSTEMS]
        return np.stack(columns, axis=1)


SYSTEMS = ("zero_shot", "dense")


@dataclass(frozen=True)
class Estimates:
    """Means and effects on one measure, with 95% intervals.

    Attributes:
        means: By quarter and state.
        effects: By the names of `EFFECTS`.
        clusters: How many articles or paragraphs the smallest set that is drawn from has.
    """

    means: dict[str, dict[str, Interval]]
    effects: dict[str, Interval]
    clusters: int

    @property
    def too_few(self) -> bool:
        """Whether there is no interval because there is too little to draw from."""
        return self.clusters < LEAST_CLUSTERS


def estimate(pairs: Sequence[Pair], measure: str) -> Estimates:
    """Estimate means and effects by a bootstrap that draws whole articles (or paragraphs) quarter by quarter.

    A cluster that plays other roles in other rotations is drawn with all that it earned in each of them; the mean of a
    quarter is over all its questions in all rotations. The seeds are taken as they are.

    Args:
        pairs: One for each seed.
        measure: Such as `mrr@10`.
    """
    columns, strata = _sums(pairs, measure)
    effects = np.stack([weights.ravel() for weights in EFFECTS.values()])

    def statistic(sums: np.ndarray) -> np.ndarray:
        by_quarter = sums.reshape(*sums.shape[:-1], len(QUARTERS), len(STATES) + 1)
        means = (by_quarter[..., :-1] / by_quarter[..., -1:]).reshape(*sums.shape[:-1], -1)
        return np.concatenate([means, means @ effects.T], axis=-1)

    found = bootstrap_of_sums(columns, statistic, strata)
    cut = len(QUARTERS) * len(STATES)
    places = iter(found[:cut])
    return Estimates(
        means={quarter: {state: next(places) for state in STATES} for quarter in QUARTERS},
        effects=dict(zip(EFFECTS, found[cut:], strict=True)),
        clusters=int(np.bincount(strata).min()),
    )


def _sums(pairs: Sequence[Pair], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Add up what each cluster's queries earned, by quarter and state, and count them.

    Returns:
        float64 [clusters, quarters x (states + 1)], the count last in each quarter; and the stratum of each cluster, those
        that play the same roles in every rotation: int64 [clusters].
    """
    groups = [read_quarters(pair.without) for pair in pairs]
    names = sorted({cluster for group in groups for _, cluster in group.values()})
    place = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), len(QUARTERS), len(STATES) + 1))
    roles = np.full((len(names), len(pairs)), -1)
    for number, (pair, group) in enumerate(zip(pairs, groups, strict=True)):
        ids = pair.without.scores["dense"].query_ids
        quarters = np.array([QUARTERS.index(group[id_][0]) for id_ in ids])
        clusters = np.array([place[group[id_][1]] for id_ in ids])
        values = pair.values(measure)
        np.add.at(sums, (clusters, quarters), np.column_stack([values, np.ones(len(values))]))
        roles[clusters, number] = quarters
    _, strata = np.unique(roles, axis=0, return_inverse=True)
    return sums.reshape(len(names), -1), strata.ravel()


def read_quarters(cell: Cell) -> dict[str, tuple[str, str]]:
    """Read the quarter and the cluster of each test query; nothing where not all of them are known."""
    rows = read_rows(cell.folder / QUARTERS_FILE)
    found = {row.get("query_id"): (row.get("quarter"), row.get("cluster")) for row in rows}
    known = {id_: found.get(id_, (None, None)) for id_ in cell.scores["dense"].query_ids}
    return {id_: (str(quarter), str(cluster)) for id_, (quarter, cluster) in known.items()} if _whole(known) else {}


def _whole(known: Mapping[str, tuple[str | None, str | None]]) -> bool:
    return all(quarter in QUARTERS and cluster for quarter, cluster in known.values())


def rotations(cells: Cells) -> list[Group]:
    """Give the groups that are rotations of withheld facts; none where there is one alone.

    A rotation moves other questions into the test, so that each is a dataset of its own: what they say
    together is the business of one section, and each alone says little.
    """
    found = [group for group in cells.groups() if all((cell.folder / QUARTERS_FILE).exists() for cell in group.cells)]
    return found if len(found) > 1 else []
