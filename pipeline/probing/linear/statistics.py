"""The first paper's tests, which take rows as independent."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_ind


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
