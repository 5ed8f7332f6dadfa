"""What fine-tuning adds, and whether it adds more to one base than to another: estimates with intervals.

Every estimate is made query by query, averaged over seeds, and bootstrapped over queries: the interval covers which
queries were asked, the seeds being as they are.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pipeline.evaluation.statistics import Interval, bootstrap, ratio
from pipeline.reporting.cells import Cell

SYSTEMS = ("zero_shot", "dense")
KEPT = 512
"""Intervals that are remembered: table, chart and finding ask for the same ones."""


def interval_of(values: np.ndarray) -> Interval:
    """Give the mean over queries with its 95% interval, remembered.

    Args:
        values: One for each query, [queries].
    """
    return _interval_of(np.asarray(values, dtype=np.float64).tobytes())


@lru_cache(maxsize=KEPT)
def _interval_of(content: bytes) -> Interval:
    return bootstrap(np.frombuffer(content, dtype=np.float64))


def gains(cells: Sequence[Cell], measure: str) -> np.ndarray:
    """Give what training added for each query, mean over the cells: dense minus zero-shot, float64 [queries]."""
    return np.mean([cell.values("dense", measure) - cell.values("zero_shot", measure) for cell in cells], axis=0)


def share_before(cells: Sequence[Cell], measure: str) -> Interval | None:
    """Give the share of the final quality that was there before training: the ratio of both means over queries.

    Returns:
        None where training is not told to have added anything: a final score may then be near 0, and nothing is a share
        of it.
    """
    if not interval_of(gains(cells, measure)).low > 0:
        return None
    before, after = (np.mean([cell.values(system, measure) for cell in cells], axis=0) for system in SYSTEMS)
    return ratio(before, after)


def matched(first: Sequence[Cell], second: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Pair cells by their seed; seeds that only one of both has are left out."""
    other = {cell.seed: cell for cell in second}
    return [(cell, other[cell.seed]) for cell in first if cell.seed in other]


def interaction(first: Sequence[Cell], second: Sequence[Cell], measure: str) -> Interval | None:
    """Give by how much more training adds to one base than to another: the difference of both differences.

    With y the measure of one query, the mean over queries and seeds of
    (y[first, dense] - y[first, zero_shot]) - (y[second, dense] - y[second, zero_shot]).

    Returns:
        None where no seed is in both.
    """
    pairs = matched(first, second)
    if not pairs:
        return None
    return interval_of(gains([pair[0] for pair in pairs], measure) - gains([pair[1] for pair in pairs], measure))


def difference(first: Sequence[Cell], second: Sequence[Cell], system: str, measure: str) -> Interval | None:
    """Give by how much one base scores above another, seed by seed.

    Returns:
        None where no seed is in both.
    """
    pairs = [one.values(system, measure) - other.values(system, measure) for one, other in matched(first, second)]
    return interval_of(np.mean(pairs, axis=0)) if pairs else None
