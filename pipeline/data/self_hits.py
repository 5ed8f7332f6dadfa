"""Which documents are no results of which query: the query itself, where it is a document too, and what is excluded."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.data.normal_form import normal_form
from pipeline.data.texts import Texts


def self_hits(
    queries: Texts, documents: Texts, judgements: Mapping[str, Mapping[str, int]], removed: bool | None
) -> np.ndarray:
    """Find the document that is no result of each query.

    Args:
        queries: What is asked.
        documents: What is searched.
        judgements: Grades of documents by query.
        removed: True: the document with the query's id, as BEIR's own evaluation has it. False: none. None: the
            document with the query's id that has its text too, unless it is judged relevant to it.

    Returns:
        Positions of documents, int64 [queries]; -1 where there is none.
    """
    ids = queries.ids()
    found = documents.positions(ids) if removed is not False else np.full(len(ids), -1, dtype=np.int64)
    if removed is None:
        places = np.flatnonzero(found >= 0)
        agree = _agree(queries, documents, places, found[places])
        wanted = np.array([judgements.get(ids[place], {}).get(ids[place], 0) > 0 for place in places], dtype=bool)
        found[places[~agree | wanted]] = -1
    return found


def unwanted(
    queries: Texts,
    documents: Texts,
    judgements: Mapping[str, Mapping[str, int]],
    removed: bool | None,
    excluded: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """Find all documents that are no results of each query.

    Args:
        queries: What is asked.
        documents: What is searched.
        judgements: Grades of documents by query.
        removed: As of `self_hits`.
        excluded: Ids of further documents by query; those that are not searched are no matter.

    Returns:
        Positions of documents, int64 [queries, most of any query], at least one; -1 where there are fewer.
    """
    further = [documents.positions(excluded.get(query, [])) for query in queries.ids()]
    found = np.full((len(queries), 1 + max(map(len, further), default=0)), -1, dtype=np.int64)
    found[:, 0] = self_hits(queries, documents, judgements, removed)
    for row, positions in zip(found, further, strict=True):
        row[1 : 1 + len(positions)] = positions
    return found


def overlapping(queries: Texts, documents: Texts) -> int:
    """Count the queries whose id is a document's too."""
    return int((documents.positions(queries.ids()) >= 0).sum())


def _agree(queries: Texts, documents: Texts, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Tell whether queries say what documents say, with or without their titles: bool [rows]."""
    titles, texts = documents.titles(positions), documents.take(positions)
    return np.array(
        [
            normal_form(query) in (normal_form(text), normal_form(text[len(title) :]))
            for query, title, text in zip(queries.take(rows), titles, texts, strict=True)
        ],
        dtype=bool,
    )
