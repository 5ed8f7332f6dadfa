"""Binary preference: how often a relevant document stands above those that were judged and found wanting."""

import numpy as np


def bpref(judged: np.ndarray, ranked: np.ndarray, cutoff: int, relevant_from: int) -> np.ndarray:
    """Score rankings by the order of their judged documents alone (Buckley and Voorhees, SIGIR 2004), as trec_eval does.

    A grade below 0 counts as no judgement. ranx's function of the name counts the filling of short lists of judgements
    among the documents judged not relevant, and divides by 0 where there are none.

    Args:
        judged: Numbers of documents and their grades, [queries, most judged, 2]; rows of minus infinity fill it up.
        ranked: Numbers of the documents found, best first, and their scores, [queries, most results, 2]; -1: not judged.
        cutoff: Of no meaning here.
        relevant_from: Smallest grade that counts as relevant.

    Returns:
        float64 [queries]; 0 where nothing is relevant.
    """
    grades, found = judged[:, :, 1], ranked[:, :, 0].astype(np.int64)
    is_relevant = grades >= relevant_from
    is_rejected = (grades >= 0) & ~is_relevant
    relevant, rejected = is_relevant.sum(axis=1), is_rejected.sum(axis=1)
    hit, miss = (
        (found >= 0) & np.take_along_axis(kind, np.maximum(found, 0), axis=1) for kind in (is_relevant, is_rejected)
    )
    above = np.minimum(miss.cumsum(axis=1), relevant[:, None])
    preferred = 1 - above / np.maximum(np.minimum(relevant, rejected), 1)[:, None]
    return (hit * preferred).sum(axis=1) / np.maximum(relevant, 1)
