"""Tests of many accuracies at once, for the linear probe."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_ind

from pipeline.probing.statistics import DRAWS, LEVEL, Interval

DRAWS_AT_ONCE = 200


def bootstrap_together(
    values: np.ndarray, clusters: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> list[Interval]:
    """Give the mean of many columns with 95% percentile intervals, drawing the same clusters for all.

    The same as `bootstrap` of each column with the same seed, in two matrix products.

    Args:
        values: [rows, columns].
        clusters: Which cluster each row belongs to, [rows].
        draws: How often clusters are drawn.
        seed: Of the draws.
    """
    _, members = np.unique(clusters, return_inverse=True)
    count = int(members.max()) + 1
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, members, values.astype(np.float64))
    sizes = np.bincount(members).astype(np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, DRAWS_AT_ONCE):
        times = [
            np.bincount(generator.integers(0, count, count), minlength=count)
            for _ in range(min(DRAWS_AT_ONCE, draws - start))
        ]
        weights = np.array(times, dtype=np.float64)
        means[start : start + len(times)] = weights @ sums / (weights @ sizes)[:, None]
    tail = (1 - LEVEL) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    rows = zip(values.astype(np.float64).mean(axis=0), lows, highs, strict=True)
    return [Interval(float(mean), float(low), float(high)) for mean, low, high in rows]


def independent_t(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the first paper's p-value: Student's two-sided t-test of rows taken as independent, which they are not.

    Args:
        first: Whether the first is right, bool [rows].
        second: Whether the second is right, bool [rows].
    """
    if np.array_equal(first, second) or (first.std() == 0 and second.std() == 0 and first.mean() == second.mean()):
        return 1.0
    return float(ttest_ind(first.astype(np.float64), second.astype(np.float64)).pvalue)


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Correct p-values as the first paper does: times their number, at most 1."""
    return [min(1.0, len(p_values) * p_value) for p_value in p_values]
