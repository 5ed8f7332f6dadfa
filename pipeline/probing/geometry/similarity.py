"""How alike two models' states of the same texts are, whatever their widths: CKA and RSA; and how they are spread.

Everything is computed in float64.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.stats import rankdata

from pipeline.evaluation.geometry import mean_pairwise_cosine, uniformity, unit_length
from pipeline.probing.jackknife import GROUPS, Jackknifed, groups, interval_without, jackknife

NOTHING = interval_without(float("nan"), [float("nan")] * GROUPS)
"""Where all texts have one state, as the first token has in layer 0, there is no likeness to speak of; nor where all have
that are left when a group is left out."""

ROUNDING = 1e-10
"""A share of the states' squared lengths, or a cosine distance, below which differences are float32's rounding."""


@dataclass(frozen=True)
class Sums:
    """What CKA is made of, summed over texts; sums of two groups of texts are added and taken away.

    Attributes:
        count: Number of texts.
        total: Of the states of both models side by side, [both widths].
        product: Of their outer products, [both widths, both widths].
        squared: Of their squared lengths times their states: of the first model's in row 0, the second's in row 1,
            [2, both widths].
        lengths: Of the products of their squared lengths, [2, 2].
        norms: Of their squared lengths, [2].
    """

    count: int
    total: np.ndarray
    product: np.ndarray
    squared: np.ndarray
    lengths: np.ndarray
    norms: np.ndarray

    @classmethod
    def of(cls, both: np.ndarray, width: int) -> "Sums":
        """Sum over texts; `both` are the states side by side, float64 [texts, both widths], the first `width` wide."""
        norms = np.stack([(part**2).sum(axis=1) for part in (both[:, :width], both[:, width:])])
        return cls(len(both), both.sum(axis=0), both.T @ both, norms @ both, norms @ norms.T, norms.sum(axis=1))

    def combined(self, other: "Sums", sign: int) -> "Sums":
        """Add other texts, or take them away."""
        parts = {name: getattr(self, name) + sign * getattr(other, name) for name in self.__dataclass_fields__}
        return Sums(**parts)


def linear_cka(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[Jackknifed, Jackknifed]:
    """Compute linear centred kernel alignment (Kornblith et al. 2019, section 3), streaming over texts.

    |Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F): from products of features, never of texts, so that memory is the square of
    the width for each block, however many texts there are. With few texts for the width it is too high; beside it stands
    its debiased form, from Song et al.'s unbiased HSIC (2012, equation 5), which is 0 for unrelated states.

    Args:
        blocks: The states of the same texts in two models, [texts, width] and [texts, other width]; each block is one
            group of the jackknife.

    Returns:
        CKA, between 0 and 1, 1 for states equal up to rotation and scale; and the same debiased. `NOTHING` where a
        model's states are all equal.
    """
    sums: list[Sums] = []
    width, origin = 0, np.zeros(0)
    for first, second in blocks:
        both = np.concatenate([first, second], axis=1, dtype=np.float64)
        if not sums:
            width, origin = first.shape[1], both.mean(axis=0)  # near the mean of all, where sums lose fewest digits
            lengths = [float((part**2).mean(axis=0).sum()) for part in (both[:, :width], both[:, width:])]
        sums.append(Sums.of(both - origin, width))
    whole = reduce(lambda one, other: one.combined(other, 1), sums)
    if any(_constant(whole, part, length) for part, length in zip(_sides(width), lengths, strict=True)):
        return NOTHING, NOTHING
    left_out = [_both(whole.combined(one, -1), width) for one in sums]
    plain, debiased = (
        _or_nothing(interval_without(figure, without))
        for figure, without in zip(_both(whole, width), zip(*left_out, strict=True), strict=True)
    )
    return plain, debiased


def linear_cka_of_few(first: np.ndarray, second: np.ndarray) -> tuple[Jackknifed, Jackknifed]:
    """Compute the same as `linear_cka` from products of texts, where they are fewer than the states are wide.

    Memory is the square of the number of texts. The groups of the jackknife are `groups`.

    Args:
        first: The states of some texts in one model, [texts, width].
        second: Those of the same texts in the other, [texts, other width].

    Returns:
        As of `linear_cka`.
    """
    grams = []
    for states in (first, second):
        states = states.astype(np.float64)
        centred = states - states.mean(axis=0)
        if (centred**2).sum() <= ROUNDING * (states**2).sum():
            return NOTHING, NOTHING
        grams.append(centred @ centred.T)
    everything = np.arange(len(first))
    left_out = [_both_of_grams(grams, np.setdiff1d(everything, group)) for group in groups(len(first))]
    whole = _both_of_grams(grams, everything)
    plain, debiased = (
        _or_nothing(interval_without(figure, without))
        for figure, without in zip(whole, zip(*left_out, strict=True), strict=True)
    )
    return plain, debiased


def _both_of_grams(grams: list[np.ndarray], kept: np.ndarray) -> tuple[float, float]:
    """Compute CKA and its debiased form from the products of the kept texts' states with each other."""
    parts = [gram[np.ix_(kept, kept)] for gram in grams]
    centred = [part - part.mean(axis=0) - part.mean(axis=1)[:, None] + part.mean() for part in parts]
    for part in parts:
        np.fill_diagonal(part, 0)
    plain = [[float(np.vdot(one, other)) for other in centred] for one in centred]
    return _normalised(plain), _normalised([[_unbiased_hsic(one, other) for other in parts] for one in parts])


def _unbiased_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """As in `_debiased_cka`, of two matrices whose diagonals are 0."""
    count = len(one)
    level = one.sum() * other.sum() / ((count - 1) * (count - 2))
    return float(np.vdot(one, other) + level - 2 / (count - 2) * (one.sum(axis=0) @ other.sum(axis=1)))


def _both(sums: Sums, width: int) -> tuple[float, float]:
    return _cka(sums, width), _debiased_cka(sums, width)


def _sides(width: int) -> tuple[slice, slice]:
    return slice(width), slice(width, None)


def _cka(sums: Sums, width: int) -> float:
    """Compute CKA; not a number where a model's states are all equal."""
    centred = sums.product - np.outer(sums.total, sums.total) / sums.count
    sides = _sides(width)
    hsic = [[float(np.linalg.norm(centred[one, other]) ** 2) for other in sides] for one in sides]
    return _normalised(hsic)


def _debiased_cka(sums: Sums, width: int) -> float:
    """Compute CKA from unbiased estimates of HSIC (Song et al. 2012, equation 5), up to their common factor.

    With K = X X^T without its diagonal, and L of the other states: tr(K L) + 1'K1 1'L1 / ((n - 1)(n - 2))
    - 2 / (n - 2) 1'K L1.
    """
    count, sides = sums.count, _sides(width)
    row_sums = [float(sums.total[side] @ sums.total[side] - norm) for side, norm in zip(sides, sums.norms, strict=True)]
    hsic = [[0.0, 0.0], [0.0, 0.0]]
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        one, other = sides[i], sides[j]
        trace = np.linalg.norm(sums.product[one, other]) ** 2 - sums.lengths[i, j]
        through = sums.total[one] @ sums.product[one, other] @ sums.total[other] + sums.lengths[i, j]
        through -= sums.squared[j, one] @ sums.total[one] + sums.squared[i, other] @ sums.total[other]
        scale = (count - 1) * (count - 2)
        hsic[i][j] = float(trace + row_sums[i] * row_sums[j] / scale - 2 / (count - 2) * through)
    return _normalised(hsic)


def _normalised(hsic: list[list[float]]) -> float:
    within = hsic[0][0] * hsic[1][1]
    return hsic[0][1] / within**0.5 if within > 0 else float("nan")


def _constant(sums: Sums, side: slice, length: float) -> bool:
    """Whether a model's states differ by rounding only; `length` is the mean of their squared lengths."""
    total = sums.total[side]
    deviation = float(np.trace(sums.product[side, side])) - float(total @ total) / sums.count
    return deviation <= ROUNDING * length * sums.count


def rsa(first: np.ndarray, second: np.ndarray) -> Jackknifed:
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


def _or_nothing(found: Jackknifed) -> Jackknifed:
    return found if np.isfinite(found.low) else NOTHING


def anisotropy(states: np.ndarray) -> Jackknifed:
    """Compute the mean cosine of all pairs of texts (Ethayarajh 2019) with its interval; states are [texts, width]."""
    return jackknife(lambda kept: mean_pairwise_cosine(states[kept]), len(states))


def evenness(states: np.ndarray) -> Jackknifed:
    """Compute the uniformity of Wang and Isola (2020) with its interval; states are [texts, width]."""
    return jackknife(lambda kept: uniformity(states[kept]), len(states))
