"""Equal scores at the end of a list: which of them a search that breaks ties as it likes should have given."""

from collections.abc import Callable

import numpy as np

from pipeline.retrieval.hits import Hits

FURTHER = 16
"""Results asked for beyond those wanted: more than are equal, in most searches."""

RESULTS_AT_ONCE = 1 << 24
"""Bounds memory where many results are equal: 16 million take 200 MB."""


def first_of_ties(
    search: Callable[[np.ndarray, int], Hits], k: int, most: int, doubt: np.ndarray, precedence: np.ndarray | None
) -> Hits:
    """Give every query's k best, equal scores by precedence, from a search that orders equal ones as it likes.

    The search is asked for more than k; where its last result is as good as the k-th, further ones may be too, and it is
    asked again for twice as many, until the last one is worse or there are no more.

    Args:
        search: Finds, for the queries of the given rows int64 `[rows]`, so many results each.
        k: Results wanted.
        most: Results that can be asked for, at least k.
        doubt: How much worse the last result must be, for the search's scores may be rounded: float64 `[queries]`.
        precedence: Which of equal scores comes first, as in `Hits.ordered`.

    Returns:
        Hits of depth `k`.
    """
    best = Hits(np.full((len(doubt), k), -1), np.full((len(doubt), k), -np.inf, np.float32))
    open_, depth = np.arange(len(doubt)), min(k + FURTHER, most)
    while len(open_):
        tied = []
        at_once = max(1, RESULTS_AT_ONCE // depth)
        for rows in (open_[start : start + at_once] for start in range(0, len(open_), at_once)):
            found = search(rows, depth)
            found = Hits.ordered(found.positions, found.scores, precedence)
            best.positions[rows], best.scores[rows] = found.cut(k).positions, found.cut(k).scores
            # A list that ends early is minus infinity at its end: nothing is left to tie.
            last, kth = (found.scores[:, place].astype(np.float64) for place in (-1, k - 1))
            tied.append(rows[(last > -np.inf) & (kth <= last + doubt[rows])])
        open_ = np.concatenate(tied) if depth < most else open_[:0]
        depth = min(2 * depth, most)
    return best
