"""How hard an approximate faiss index has to look for k results, and looks unless it is told otherwise."""

import math
from typing import Any

import faiss

LEAST_NPROBE, LEAST_EF_SEARCH = 32, 128
"""What few results take: they are among the nearest clusters' documents, or the nearest in a graph."""

SLACK = 4
"""Clusters looked at for each that k results would fill: they are not of one size, and results lie in several."""


def least_effort(index: Any, k: int, documents: int) -> dict[str, int]:
    """Give the search parameters below which k results cannot be found, or not the best ones, by name.

    Args:
        index: The faiss index.
        k: Results wanted.
        documents: How many are in the index.
    """
    if lists := _lists(index):
        return {"nprobe": min(lists, math.ceil(SLACK * lists * k / documents))}
    return {"efSearch": k} if isinstance(_innermost(index), faiss.IndexHNSW) else {}


def effort(index: Any, k: int, documents: int) -> dict[str, int]:
    """Give the search parameters that k results are looked for with; arguments as in `least_effort`."""
    least = least_effort(index, k, documents)
    if lists := _lists(index):
        return {"nprobe": min(lists, max(LEAST_NPROBE, least["nprobe"]))}
    return {"efSearch": max(LEAST_EF_SEARCH, 2 * k)} if least else {}


def _lists(index: Any) -> int:
    """Count the inverted lists of an index; 0 where it has none."""
    inverted = faiss.try_extract_index_ivf(index)
    return inverted.nlist if inverted is not None else 0


def _innermost(index: Any) -> Any:
    """Look through what transforms vectors, numbers them or scores them again, as faiss's parameters do."""
    while isinstance(index, (faiss.IndexPreTransform, faiss.IndexIDMap, faiss.IndexRefine)):
        index = faiss.downcast_index(index.base_index if isinstance(index, faiss.IndexRefine) else index.index)
    return index
