"""How much of exact search an approximate one finds."""

from typing import Any

import numpy as np

from pipeline.retrieval.hits import Hits
from pipeline.retrieval.index import Index
from pipeline.retrieval.torch_index import TorchIndex

SAMPLED_QUERIES = 256
FIRST_RESULTS = 10
"""Recall is taken of all results and of these, which most measures look at."""


def recall_of_exact(index: Index, queries: np.ndarray, hits: Hits, precedence: np.ndarray | None) -> dict[str, Any]:
    """Compare what an approximate index found with exact search for some of the queries, evenly spread.

    Args:
        index: The index that was searched.
        queries: float32 `[queries, dimension]`.
        hits: What it found.
        precedence: Which of equal scores comes first, as in `Hits.ordered`.

    Returns:
        `recall`, by number of results, the share of exact search's that were found, of `sampled_queries`; `short_lists`,
        how many of all queries got fewer results than were asked for; `parameters` of the search; `shortcomings`, in
        words, of settings and training.
    """
    k = hits.positions.shape[1]
    sample = np.unique(np.linspace(0, len(queries) - 1, SAMPLED_QUERIES).astype(np.int64))
    exact = TorchIndex()
    exact.build(index.table)
    wanted = exact.search(queries[sample], k, precedence).positions
    found = hits.positions[sample]
    recall = {
        str(depth): float(
            np.mean([np.isin(row[:depth], got[:depth]).mean() for row, got in zip(wanted, found, strict=True)])
        )
        for depth in sorted({min(FIRST_RESULTS, k), k})
    }
    return {
        "recall": recall,
        "sampled_queries": len(sample),
        "short_lists": int((hits.positions[:, -1] < 0).sum()),
        "parameters": index.parameters(k),
        "shortcomings": index.shortcomings(k),
    }
