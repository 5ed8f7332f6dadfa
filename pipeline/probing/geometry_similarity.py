"""How alike two models' states of the same texts are, whatever their widths: CKA and RSA; and how they are spread.

Everything is computed in float64.
"""

from collections.abc import Iterable

import numpy as np
from scipy.stats import rankdata

from pipeline.evaluation.geometry import mean_pairwise_cosine, uniformity, unit_length
from pipeline.probing.jackknife import groups, interval_without, jackknife
from pipeline.probing.statistics import Interval

NOTHING = Interval(float("nan"), float("nan"), float("nan"))
"""Where all texts have one state, as the first token has in layer 0, there is no likeness to speak of; nor where all have
that are left when a group is left out."""

ROUNDING = 1e-10
"""A share of the states' squared lengths, or a cosine distance, below which differences are float32's rounding."""


def linear_cka(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Interval:
    """Compute linear centred kernel alignment (Kornblith et al. 2019, section 3), streaming over texts.

    |Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F): from products of features, never of texts, so that memory is the square of
    the width for each block, however many texts there are.

    Args:
        blocks: The states of the same texts in two models, [texts, width] and [texts, other width]; each block is one
            group of the jackknife.

    Returns:
        Between 0 and 1, 1 for states equal up to rotation and scale; `NOTHING` where a model's states are all equal.
    """
    counts, sums, products, width = [], [], [], 0
    for first, second in blocks:
        both = np.concatenate([first, second], axis=1, dtype=np.float64)
        width = first.shape[1]
        counts.append(len(both))
        sums.append(both.sum(axis=0))
        products.append(both.T @ both)
    count, total, product = sum(counts), np.sum(sums, axis=0), np.sum(products, axis=0)
    if _constant(count, total[:width], product[:width, :width]):
        return NOTHING
    if _constant(count, total[width:], product[width:, width:]):
        return NOTHING
    left_out = [
        _cka(count - number, total - one, product - many, width)
        for number, one, many in zip(counts, sums, products, strict=True)
    ]
    return _or_nothing(interval_without(_cka(count, total, product, width), left_out))


def _cka(count: int, total: np.ndarray, product: np.ndarray, width: int) -> float:
    """Compute CKA from the sums [both widths] and products [both widths, both widths] of both models' states."""
    centred = product - np.outer(total, total) / count
    across = np.linalg.norm(centred[:width, width:]) ** 2
    within = np.linalg.norm(centred[:width, :width]) * np.linalg.norm(centred[width:, width:])
    return float(across / within) if within else float("nan")


def _constant(count: int, total: np.ndarray, product: np.ndarray) -> bool:
    squared = float(np.trace(product))
    return squared - float(total @ total) / count <= ROUNDING * squared


def rsa(first: np.ndarray, second: np.ndarray) -> Interval:
    """Compute the representational similarity of two models (Kriegeskorte et al. 2008).

    Spearman's correlation between the cosine distances of all pairs of texts in one model and in the other.

    Args:
        first: The states of some texts in one model, [texts, width].
        second: Those of the same texts in the other, [texts, other width].

    Returns:
        Between -1 and 1, its interval from the ranks among all pairs; `NOTHING` where a model's states are all equal.
    """
    distances = [_distances(states) for states in (first, second)]
    if any(np.ptp(values) <= ROUNDING for values in distances):
        return NOTHING
    ranks = [rankdata(values) for values in distances]
    group = np.concatenate([np.full(len(rows), number) for number, rows in enumerate(groups(len(first)))])
    row, column = np.triu_indices(len(first), k=1)
    left_out = []
    for number in range(group[-1] + 1):
        kept = (group[row] != number) & (group[column] != number)
        left_out.append(_pearson(ranks[0][kept], ranks[1][kept]))
    return _or_nothing(interval_without(_pearson(*ranks), left_out))


def _distances(states: np.ndarray) -> np.ndarray:
    """Cosine distances of all pairs of different rows, float64 [pairs]."""
    unit = unit_length(states)
    return 1.0 - (unit @ unit.T)[np.triu_indices(len(unit), k=1)]


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate two rows of numbers; not a number where one of them is all the same."""
    first, second = first - first.mean(), second - second.mean()
    lengths = float((first @ first) * (second @ second))
    return float(first @ second) / lengths**0.5 if lengths else float("nan")


def _or_nothing(found: Interval) -> Interval:
    return found if np.isfinite(found.low) else NOTHING


def anisotropy(states: np.ndarray) -> Interval:
    """Compute the mean cosine of all pairs of texts (Ethayarajh 2019) with its interval; states are [texts, width]."""
    return jackknife(lambda kept: mean_pairwise_cosine(states[kept]), len(states))


def evenness(states: np.ndarray) -> Interval:
    """Compute the uniformity of Wang and Isola (2020) with its interval; states are [texts, width]."""
    return jackknife(lambda kept: uniformity(states[kept]), len(states))
