"""Hybrid re-ranking that scores no candidate which cannot enter the best `depth` any more.

Candidates come in the order of their lexical scores, and by Cauchy and Schwarz a dense score is at most |query| times
the largest |document|. As soon as a lexical score and this bound together are below the depth-th best score so far, no
later candidate can enter (Leonhardt et al. 2022, "early stopping"). What is found is what full re-ranking finds, to the bit:
the bound goes through the very operations that a score goes through, all of which keep order when they round.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import interpolate, mixed
from pipeline.retrieval.table import Table

QUERIES_AT_ONCE = 64
CANDIDATES_AT_ONCE = 32
"""Looked up together for each unfinished query: fewer are scored needlessly, more are faster each."""


@dataclass(frozen=True)
class Reranked:
    """The best of what was re-ranked, and what it took.

    Attributes:
        hits: The best `depth` of every query.
        scored: Candidates whose dense score was computed, of all queries.
        candidates: Candidates that there were.
    """

    hits: Hits
    scored: int
    candidates: int


def rerank(
    lexical: Hits,
    table: Table,
    queries: np.ndarray,
    weight: float,
    depth: int,
    at_once: int = CANDIDATES_AT_ONCE,
    precedence: np.ndarray | None = None,
) -> Reranked:
    """Find the best `depth` of each query by `weight * lexical + (1 - weight) * dense`, as `interpolate` does.

    Scores are taken as they are (`raw`): to map dense scores to 0 to 1, all of them would be needed.

    Args:
        lexical: What BM25 found.
        table: The documents' vectors.
        queries: float32 `[queries, dimension]`.
        weight: Share of the lexical score, 0 to 1.
        depth: Results kept of each query.
        at_once: Candidates of a query that are scored before it is asked again whether it can stop.
        precedence: Which of equal scores comes first, as in `Hits.ordered`.
    """
    bounds = dense_bounds(table, queries)
    width = min(depth, lexical.positions.shape[1])
    hits = Hits(np.full((len(lexical), width), -1), np.full((len(lexical), width), -np.inf, np.float32))
    scored = 0
    for start in range(0, len(lexical), QUERIES_AT_ONCE):
        rows = slice(start, start + QUERIES_AT_ONCE)
        found = Hits(lexical.positions[rows], lexical.scores[rows])
        dense = _dense_until_decided(found, table.vectors, queries[rows], bounds[rows], weight, width, at_once)
        looked_at = dense > -np.inf
        reach = max(width, int(looked_at.sum(axis=1).max()))
        kept = Hits(np.where(looked_at, found.positions, -1), found.scores).cut(reach)
        best = interpolate(kept, dense[:, :reach], weight, "raw", precedence).cut(width)
        hits.positions[rows], hits.scores[rows] = best.positions, best.scores
        scored += int(looked_at.sum())
    return Reranked(hits, scored, int((lexical.positions >= 0).sum()))


def dense_bounds(table: Table, queries: np.ndarray) -> np.ndarray:
    """What no dense score of a query can exceed, not even by rounding.

    Args:
        table: The documents' vectors.
        queries: float32 `[queries, dimension]`.

    Returns:
        float64 `[queries]`.
    """
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1) * table.largest_norm
    single = np.finfo(np.float32)
    # A sum of n products in single precision is off by no more than n half epsilons of its size (Higham 2002, section
    # 3.1), in whatever order; a whole epsilon leaves room for n itself. Below the normal numbers, digits are lost too.
    return lengths * (1 + table.dimension * float(single.eps)) + table.dimension * float(single.tiny)


def _dense_until_decided(
    lexical: Hits, vectors: np.ndarray, queries: np.ndarray, bounds: np.ndarray, weight: float, depth: int, at_once: int
) -> np.ndarray:
    """Score candidates until no other can enter; float32 `[queries, candidates]`, minus infinity where none was needed."""
    present = lexical.positions >= 0
    scores = np.where(present, lexical.scores, 0.0)
    ceilings = mixed(scores, bounds[:, None], weight)
    dense = np.full(scores.shape, -np.inf, dtype=np.float32)
    best = np.full((len(scores), depth), -np.inf, dtype=np.float32)
    unfinished = np.arange(len(scores))
    for start in range(0, scores.shape[1], at_once):
        # Equal is not below: of equal scores any may go before the others.
        below = ceilings[unfinished, start] < best[unfinished].min(axis=1)
        unfinished = unfinished[present[unfinished, start] & ~below]
        if not len(unfinished):
            break
        block = np.ix_(unfinished, range(start, min(start + at_once, scores.shape[1])))
        # Where there is no candidate, any vector does: its score is not used.
        found = np.vecdot(vectors[np.maximum(lexical.positions[block], 0)], queries[unfinished, None])
        dense[block] = np.where(present[block], found, -np.inf)
        entering = np.where(present[block], mixed(scores[block], found, weight), -np.inf)
        both = np.concatenate([best[unfinished], entering], axis=1)
        best[unfinished] = np.partition(both, -depth, axis=1)[:, -depth:]
    return dense
