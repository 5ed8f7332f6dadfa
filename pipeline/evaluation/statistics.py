"""How sure a figure is: intervals by the bootstrap, and a paired test of right and wrong answers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

DRAWS = 2_000
LEVEL = 0.95
SIGNIFICANT = round(1 - LEVEL, 10)
"""Corrected p-values up to this one count."""
DRAWS_AT_ONCE = 200
LEAST_CLUSTERS = 5
"""Drawing fewer again and again says nothing of others; there is no interval then."""


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

    def columns(self, name: str) -> dict[str, float]:
        """Give the columns of a table: the mean, and where it begins and ends."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def bootstrap(values: np.ndarray, clusters: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Give the mean with its 95% percentile interval; see `bootstrap_together`.

    Args:
        values: One for each row, [rows]; of a paired comparison, the differences.
        clusters: Which cluster each row belongs to, [rows]; None: each row is its own.
        draws: How often clusters are drawn.
        seed: Of the draws.
    """
    return bootstrap_together(np.asarray(values)[:, None], clusters, draws=draws, seed=seed)[0]


def bootstrap_together(
    values: np.ndarray, clusters: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0
) -> list[Interval]:
    """Give the means of many columns with 95% percentile intervals, drawing the same whole clusters for all.

    Rows of one question are not independent; drawing questions instead of rows keeps the interval honest (Efron and
    Tibshirani 1993, chapter 8).

    Args:
        values: [rows, columns].
        clusters: Which cluster each row belongs to, [rows]; None: each row is its own.
        draws: How often clusters are drawn.
        seed: Of the draws.
    """
    values = np.asarray(values, dtype=np.float64)
    sums = _drawn_sums(np.column_stack([values, np.ones(len(values))]), clusters, draws, seed)
    lows, highs = _ends(sums[:, :-1] / sums[:, -1:])
    return [Interval(*map(float, row)) for row in zip(values.mean(axis=0), lows, highs, strict=True)]


def bootstrap_of_sums(
    columns: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    strata: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Interval]:
    """Give statistics of column sums with 95% percentile intervals, drawing rows within each stratum.

    What was put into groups as designed, so many to each, is drawn as it was put. Each stratum's deviations are widened
    by sqrt(n / (n - 1)) for its n rows, which makes its variance unbiased (Rao and Wu 1988,
    https://doi.org/10.1080/01621459.1988.10478591): with a dozen rows in each, that is not little.

    Args:
        columns: One row for each cluster, [clusters, columns].
        statistic: Makes statistics, [..., statistics], of sums over rows, [..., columns].
        strata: Which stratum each row belongs to, [clusters].
        draws: How often rows are drawn.
        seed: Of the draws.
    """
    columns = np.asarray(columns, dtype=np.float64)
    drawn = np.zeros((draws, columns.shape[1]))
    for number, stratum in enumerate(np.unique(strata)):
        rows = columns[strata == stratum]
        total = rows.sum(axis=0)
        widened = np.sqrt(len(rows) / (len(rows) - 1)) if len(rows) > 1 else np.nan
        drawn += total + widened * (_drawn_sums(rows, None, draws, seed + number) - total)
    lows, highs = _ends(statistic(drawn))
    return [Interval(*map(float, row)) for row in zip(statistic(columns.sum(axis=0)), lows, highs, strict=True)]


def ratio(parts: np.ndarray, wholes: np.ndarray, *, seed: int = 0) -> Interval:
    """Give the ratio of two sums with its 95% percentile interval, drawing rows; draws without a whole are left out.

    Args:
        parts: One for each row, [rows].
        wholes: What they are parts of, [rows].
        seed: Of the draws.

    Returns:
        Not a number where the wholes add up to 0.
    """
    both = np.column_stack([parts, wholes]).astype(np.float64)
    total = both.sum(axis=0)
    if not total[1]:
        return Interval(np.nan, np.nan, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.divide(*_drawn_sums(both, None, DRAWS, seed).T)
    low, high = _ends(np.where(np.isfinite(drawn), drawn, np.nan))
    return Interval(float(total[0] / total[1]), float(low), float(high))


def _drawn_sums(columns: np.ndarray, clusters: np.ndarray | None, draws: int, seed: int) -> np.ndarray:
    """Draw as many clusters as there are, with replacement, and add their rows up: [draws, columns]."""
    if clusters is not None:
        _, members = np.unique(clusters, return_inverse=True)
        sums = np.zeros((int(members.max()) + 1, columns.shape[1]))
        np.add.at(sums, members, columns)
        columns = sums
    generator = np.random.default_rng(seed)
    found = np.empty((draws, columns.shape[1]))
    if len(columns) < LEAST_CLUSTERS:
        return np.full_like(found, np.nan)
    for start in range(0, draws, DRAWS_AT_ONCE):
        times = [
            np.bincount(generator.integers(0, len(columns), len(columns)), minlength=len(columns))
            for _ in range(min(DRAWS_AT_ONCE, draws - start))
        ]
        found[start : start + len(times)] = np.array(times, dtype=np.float64) @ columns
    return found


def _ends(drawn: np.ndarray) -> np.ndarray:
    """Give both ends of the middle 95% of draws, [2, …]; not numbers where too little was there to draw from."""
    tail = (1 - LEVEL) / 2
    if np.isnan(drawn).all():
        return np.full((2, *drawn.shape[1:]), np.nan)
    return np.nanquantile(drawn, [tail, 1 - tail], axis=0)


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
