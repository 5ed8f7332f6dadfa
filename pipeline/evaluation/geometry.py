"""What a set of vectors looks like: spread, rank, alignment, uniformity, and how far two sets are apart.

Everything is computed in float64 from the vectors as they are given; the small differences are what matters here.
"""

from collections.abc import Callable

import numpy as np

from pipeline.errors import UserError

LEAST_SAMPLE = 16
"""Nearest neighbours among fewer vectors than this say nothing about a distribution."""


def mean_pairwise_cosine(vectors: np.ndarray) -> float:
    """Average cosine of all pairs of different rows: near 1 when every text gets the same vector.

    Args:
        vectors: [rows, dimension], at least two rows.

    Returns:
        Between -1 and 1. Computed from the sum of the unit vectors, never as a matrix of pairs.
    """
    rows = len(vectors)
    total = unit_length(vectors).sum(axis=0)
    return float((total @ total - rows) / (rows * (rows - 1)))


def dimension_deviation(vectors: np.ndarray) -> float:
    """Standard deviation of a coordinate of the unit vectors, averaged over the dimensions.

    1 / sqrt(dimension) where the directions are spread evenly over the sphere, 0 where all are equal.

    Args:
        vectors: [rows, dimension].
    """
    return float(unit_length(vectors).std(axis=0).mean())


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions the centred vectors spread over (Roy and Vetterli 2007, definition 1).

    exp(-sum_i p_i log p_i), p_i the i-th singular value's share of their sum.

    Args:
        vectors: [rows, dimension].

    Returns:
        From 1 to min(rows - 1, dimension); 0 where all rows are equal.
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    # Equal rows leave rounding errors behind, which are no directions.
    singular = singular[singular > singular.max(initial=0.0) * max(centred.shape) * np.finfo(np.float64).eps]
    if not len(singular) or singular[0] <= np.abs(vectors).max() * np.finfo(np.float64).eps * np.sqrt(centred.size):
        return 0.0
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def alignment(queries: np.ndarray, positives: np.ndarray) -> float:
    """Mean squared distance between each query's unit vector and its positive's (Wang and Isola 2020, section 4.1.1).

    Args:
        queries: [pairs, dimension].
        positives: The document of each query, [pairs, dimension].
    """
    return float(((unit_length(queries) - unit_length(positives)) ** 2).sum(axis=1).mean())


def uniformity(vectors: np.ndarray) -> float:
    """Logarithm of the mean Gaussian potential of all pairs of unit vectors (Wang and Isola 2020, section 4.1.2).

    log mean_(i<j) exp(-2 |x_i - x_j|^2): 0 where all are equal, about -4 where they are spread evenly.

    Args:
        vectors: [rows, dimension], at least two rows.
    """
    unit = unit_length(vectors)
    upper = np.triu_indices(len(unit), k=1)
    squared = np.clip(2 - 2 * (unit @ unit.T)[upper], 0, None)
    return float(np.log(np.exp(-2 * squared).mean()))


def kl_divergence(reference: np.ndarray, other: np.ndarray) -> float:
    """Estimate KL(reference || other) of two distributions from samples, by nearest neighbours (Perez-Cruz 2008, eq. 14).

    D = (d / n) sum_i log(s_i / r_i) + log(m / (n - 1)): r_i the distance from the i-th reference vector to the nearest
    other one of them, s_i to the nearest vector of the other sample.

    Args:
        reference: Samples of the one distribution, [n, dimension], no two of them equal.
        other: Samples of the other, [m, dimension].

    Returns:
        The estimate, in nats; minus infinity where a vector of the one sample is in the other too, as in two samples
        that are the same.

    Raises:
        UserError: When a sample is too small, the dimensions differ, or two reference vectors are equal.
    """
    n, m = len(reference), len(other)
    if min(n, m) < LEAST_SAMPLE:
        raise UserError(
            f"The KL divergence is estimated from nearest neighbours, which needs at least {LEAST_SAMPLE} different "
            f"texts, and there are {min(n, m)}; give it more."
        )
    if reference.shape[1] != other.shape[1]:
        raise UserError(
            f"Vectors of {reference.shape[1]} and of {other.shape[1]} dimensions have no divergence; project one of them."
        )
    within = _nearest(reference, reference, leave_out_self=True)
    if not within.all():
        raise UserError("Two texts have one vector, and their distance is 0; leave duplicates out of the sample.")
    across = _nearest(reference, other, leave_out_self=False)
    with np.errstate(divide="ignore"):
        ratio = np.log(across) - np.log(within)
    return float(reference.shape[1] * ratio.mean() + np.log(m / (n - 1)))


def distinct_rows(vectors: np.ndarray) -> np.ndarray:
    """Positions of the rows that differ from all before them, for an estimate that cannot take duplicates.

    Args:
        vectors: [rows, dimension].

    Returns:
        int64, ascending.
    """
    return np.sort(np.unique(vectors, axis=0, return_index=True)[1])


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale every row to length 1, in float64; a row of zeros stays."""
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _nearest(points: np.ndarray, among: np.ndarray, leave_out_self: bool) -> np.ndarray:
    """Distance from every point to the nearest of others, float64 [points].

    Which one is nearest is found by matrix products; its distance is then computed from the difference, because in
    the products the digits of a small distance cancel.
    """
    points, among = np.asarray(points, dtype=np.float64), np.asarray(among, dtype=np.float64)
    centre = among.mean(axis=0)
    moved, others = points - centre, among - centre
    squared = (others**2).sum(axis=1) - 2 * moved @ others.T
    if leave_out_self:
        np.fill_diagonal(squared, np.inf)
    # Several candidates, as rounding may put the second nearest first.
    few = min(4, squared.shape[1] - int(leave_out_self))
    candidates = np.argpartition(squared, few - 1, axis=1)[:, :few]
    return np.linalg.norm(points[:, None, :] - among[candidates], axis=2).min(axis=1)


FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    "mean_cosine": mean_pairwise_cosine,
    "deviation": dimension_deviation,
    "effective_rank": effective_rank,
    "uniformity": uniformity,
}
"""What is said of one tower's vectors at every validation, by the name it has in logs and files."""
