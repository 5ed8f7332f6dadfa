"""How sure a figure is: intervals by the bootstrap, and a paired test of right and wrong answers."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

DRAWS = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and how far it may be off.

    Attributes:
        mean: Of the values.
        low: Lower end of the interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def bootstrap(values: np.ndarray, clusters: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Give the mean with its 95% percentile interval, drawing whole clusters.

    Rows of one question are not independent; drawing questions instead of rows keeps the interval honest (Efron and
    Tibshirani 1993, chapter 8).

    Args:
        values: One for each row, [rows]; of a paired comparison, the differences.
        clusters: Which cluster each row belongs to, [rows]; None: each row is its own.
        draws: How often clusters are drawn.
        seed: Of the draws.
    """
    values = np.asarray(values, dtype=np.float64)
    if clusters is None:
        sums, counts = values, np.ones(len(values))
    else:
        _, members = np.unique(clusters, return_inverse=True)
        sums, counts = np.bincount(members, values), np.bincount(members).astype(np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for place in range(draws):
        drawn = generator.integers(0, len(sums), len(sums))
        means[place] = sums[drawn].sum() / counts[drawn].sum()
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the two-sided exact p-value that two classifiers are right equally often (McNemar 1947).

    Among the rows that only one of them gets right, each is as likely to be that one.

    Args:
        first: Whether the first is right, bool [rows].
        second: Whether the second is right on the same rows, bool [rows].
    """
    only_first = int(np.count_nonzero(first & ~second))
    only_second = int(np.count_nonzero(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
