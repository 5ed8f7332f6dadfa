"""What changed in the activity of neurons from one model to another, paired over texts."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.statistics import Interval, bootstrap, ratio
from pipeline.probing.attribution.activity import Activity


def change_in_per_cent(base: np.ndarray, other: np.ndarray, seed: int) -> Interval:
    """Give the change of a sum over texts in per cent, with its 95% percentile interval, drawing texts.

    Args:
        base: One number a text, [texts].
        other: Of the other model on the same texts, [texts].
        seed: Of the draws.

    Returns:
        100 (sum other / sum base - 1); not a number where the base has nothing.
    """
    found = ratio(other, base, seed=seed)
    return Interval(100 * (found.mean - 1), 100 * (found.low - 1), 100 * (found.high - 1))


@dataclass(frozen=True)
class Change:
    """What changed from a base to another model.

    Attributes:
        activations: Of active neurons over all texts, in per cent.
        at_least_once: Of neurons active for at least one text, in per cent.
        overlap: Jaccard index of the neurons active for a text, the mean over texts.
        overlap_at_least_once: Jaccard index of the neurons active for at least one text.
    """

    activations: Interval
    at_least_once: float
    overlap: Interval
    overlap_at_least_once: float


def change(
    base: Activity, other: Activity, both: np.ndarray, name: str, threshold: int, layers: slice, seed: int
) -> Change:
    """Compare two models.

    Args:
        base: The one.
        other: The other, on the same texts.
        both: Neurons active in both, [thresholds, texts, layers].
        name: Which sub-layer, `inner` or `outer`.
        threshold: Which of the thresholds.
        layers: Which layers.
        seed: Of the draws.
    """
    mine, theirs = (found.active[name][threshold, :, layers].sum(axis=1) for found in (base, other))
    common = both[threshold, :, layers].sum(axis=1)
    either = mine + theirs - common
    some = either > 0
    overlap = bootstrap(common[some] / either[some], seed=seed) if some.any() else Interval(*[float("nan")] * 3)
    first, second = (found.counts[name][threshold, layers] > 0 for found in (base, other))
    return Change(
        change_in_per_cent(mine, theirs, seed),
        100 * (_ratio(second.sum(), first.sum()) - 1),
        overlap,
        _ratio((first & second).sum(), (first | second).sum()),
    )


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
