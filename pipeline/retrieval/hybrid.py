"""Hybrid retrieval: the lexical results ranked anew by an interpolation of lexical and dense scores.

Only the lexical top k are scored, and their vectors are looked up in the table: no dense search (Leonhardt et al.
2022, "Efficient Neural Ranking using Forward Indexes", section 3).
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.checks import one_of
from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits

NORMALISATIONS = ("minmax", "raw")


def dense_scores(vectors: np.ndarray, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Score chosen documents of every query.

    Each product is computed on its own, so that it has the same bits whichever documents are scored beside it.

    Args:
        vectors: A table's vectors, float32 `[documents, dimension]`.
        queries: float32 `[queries, dimension]`.
        positions: Which documents, int64 `[queries, candidates]`; -1 where there is none.

    Returns:
        Inner products, float32 `[queries, candidates]`; minus infinity where there is no document.
    """
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    for row, (query, candidates) in enumerate(zip(queries, positions, strict=True)):
        present = candidates >= 0
        scores[row, present] = np.vecdot(vectors[candidates[present]], query)
    return scores


def interpolate(
    lexical: Hits,
    dense: np.ndarray,
    weight: float,
    normalisation: str = "minmax",
    precedence: np.ndarray | None = None,
) -> Hits:
    """Rank the lexical results by `weight * lexical + (1 - weight) * dense`.

    Args:
        lexical: What BM25 found.
        dense: Dense scores of the same documents (`dense_scores`), `[queries, candidates]`.
        weight: Share of the lexical score, 0 to 1.
        normalisation: `minmax` maps each query's scores of either kind to 0 to 1 first; `raw` takes them as they are.
        precedence: Which of equal scores comes first, as in `Hits.ordered`.

    Returns:
        The same documents in their new order, with the interpolated scores.

    Raises:
        UserError: When the weight or the normalisation cannot be meant.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"A hybrid weight is {weight}; it must be between 0 and 1.")
    one_of("evaluation.hybrid_normalisation", normalisation, NORMALISATIONS)
    present = lexical.positions >= 0
    parts = [np.where(present, scores, 0.0).astype(np.float64) for scores in (lexical.scores, dense)]
    if normalisation == "minmax":
        parts = [min_max(scores, present) for scores in parts]
    return Hits.ordered(lexical.positions, mixed(parts[0], parts[1], weight), precedence)


def mixed(lexical: np.ndarray, dense: np.ndarray, weight: float) -> np.ndarray:
    """Interpolate scores that are there, in float64, and round once: float32 of their common shape."""
    return (weight * lexical.astype(np.float64) + (1 - weight) * dense.astype(np.float64)).astype(np.float32)


def min_max(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Map every row's scores to 0 to 1; a row of equal scores, which says nothing, to 0.

    Args:
        scores: float64 `[queries, candidates]`.
        present: Where there is a score, bool of the same shape.
    """
    lowest = np.where(present, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    highest = np.where(present, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(highest > lowest, highest - lowest, 1.0)
    return np.where(present, (scores - np.where(np.isfinite(lowest), lowest, 0.0)) / spread, 0.0)


def tune_weight(
    lexical: Hits,
    dense: np.ndarray,
    weights: Sequence[float],
    measure: Callable[[Hits], float],
    normalisation: str = "minmax",
    precedence: np.ndarray | None = None,
) -> tuple[float, dict[float, float]]:
    """Choose the weight that measures best, on the validation split.

    Args:
        lexical: What BM25 found for the validation queries.
        dense: Dense scores of the same documents.
        weights: Candidates.
        measure: Measures the interpolated hits; larger is better.
        normalisation: As in `interpolate`.
        precedence: As in `interpolate`.

    Returns:
        The best weight (of several equal ones the smallest: less to rely on) and the measure of every weight.

    Raises:
        UserError: When there is no candidate.
    """
    if not weights:
        raise UserError("There is no hybrid weight to try; give some, as in evaluation.hybrid_weights=[0,0.5,1].")
    measured = {
        weight: measure(interpolate(lexical, dense, weight, normalisation, precedence))
        for weight in sorted(map(float, weights))
    }
    return max(measured, key=lambda weight: (measured[weight], -weight)), measured
