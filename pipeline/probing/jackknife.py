"""How sure a figure of many texts together is: intervals by leaving groups of texts out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from pipeline.evaluation.statistics import LEVEL, Interval

GROUPS = 10
"""Into so many the texts are divided, neighbours together: those about one subject often are neighbours."""


@dataclass(frozen=True)
class Jackknifed(Interval):
    """A figure with its interval, and what it is without each group of texts.

    Attributes:
        left_out: Without each group.
    """

    left_out: tuple[float, ...]

    def minus(self, other: "Jackknifed") -> "Jackknifed":
        """Give the difference from another figure of the same texts, whose groups were left out of both together.

        Texts that are hard for one are often so for the other: their own intervals may well meet where the difference is
        sure.
        """
        left_out = [mine - theirs for mine, theirs in zip(self.left_out, other.left_out, strict=True)]
        return interval_without(self.mean - other.mean, left_out)


def jackknife(statistic: Callable[[np.ndarray], float], rows: int) -> Jackknifed:
    """Compute a statistic with its 95% interval by the delete-a-group jackknife; see `interval_without`.

    Args:
        statistic: Computes the figure from positions of rows, int64.
        rows: How many there are.
    """
    everything = np.arange(rows)
    without = [np.setdiff1d(everything, group, assume_unique=True) for group in groups(rows)]
    return interval_without(statistic(everything), [statistic(kept) for kept in without])


def groups(rows: int) -> list[np.ndarray]:
    """Divide the positions of rows into `GROUPS` groups of neighbours."""
    return np.array_split(np.arange(rows), GROUPS)


def interval_without(whole: float, left_out: Sequence[float]) -> Jackknifed:
    """Make an interval of a figure and of the same figure without each group of texts.

    Texts are left out rather than drawn again and again as the bootstrap does: two copies of a text are at distance 0,
    and would make any two models look alike. se^2 = (G - 1) / G * sum_g (x_g - mean x)^2 (Efron and Tibshirani 1993,
    equation 11.5, with groups for observations), and Student's t with G - 1 degrees of freedom.

    Args:
        whole: From all texts.
        left_out: Without each group.
    """
    values = np.asarray(left_out, dtype=np.float64)
    count = len(values)
    error = np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    reach = float(student_t.ppf((1 + LEVEL) / 2, count - 1) * error)
    return Jackknifed(float(whole), float(whole) - reach, float(whole) + reach, tuple(values.tolist()))
