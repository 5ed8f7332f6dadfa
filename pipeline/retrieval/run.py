"""Runs: the rankings of one system for many queries, with scores, always in one order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.data.texts import Texts
from pipeline.retrieval.hits import Hits


@dataclass(frozen=True)
class Ranking:
    """The results of one query, best first.

    Args:
        documents: Ids, no one twice.
        scores: float32 `[documents]`, descending.
    """

    documents: list[str]
    scores: np.ndarray

    @classmethod
    def of(cls, documents: Sequence[str], scores: np.ndarray) -> "Ranking":
        """Rank documents as trec_eval does: by score, and where scores are equal by id, both descending.

        The scores are float32 and ids break ties backwards for the same reason: trec_eval holds scores as C floats
        and compares equal ones by `strcmp` of the ids, larger first. So our figures are its figures, a file written
        and read again ranks the same, and no order depends on how an index happened to find things.
        """
        scores = np.asarray(scores, dtype=np.float32)
        # numpy compares strings by code point, which orders them as strcmp orders their UTF-8 bytes.
        order = np.lexsort((np.array(documents, dtype=np.str_), scores))[::-1] if len(documents) else np.arange(0)
        return cls([documents[place] for place in order], scores[order])


class Run:
    """The rankings of one system.

    Args:
        name: The system, such as `bm25`; a run file's tag.
        rankings: Ranking by query id. A query without results may be there with an empty ranking, or be absent.
        counts: What was odd about the file that it was read from.
    """

    def __init__(self, name: str, rankings: Mapping[str, Ranking], counts: Mapping[str, int] | None = None) -> None:
        self.name = name
        self.counts = dict(counts or {})
        self._rankings = dict(rankings)

    @property
    def query_ids(self) -> list[str]:
        """The queries, in the order in which they came."""
        return list(self._rankings)

    def __len__(self) -> int:
        return len(self._rankings)

    def __iter__(self) -> Iterator[tuple[str, Ranking]]:
        return iter(self._rankings.items())

    def ranking(self, query_id: str) -> list[str]:
        """Document ids of one query, best first; empty where there is no result."""
        found = self._rankings.get(query_id)
        return found.documents if found else []

    def scores(self, query_id: str) -> np.ndarray:
        """The scores of `ranking`, float32 `[documents]`."""
        found = self._rankings.get(query_id)
        return found.scores if found else np.empty(0, np.float32)

    @classmethod
    def from_hits(
        cls,
        name: str,
        query_ids: Sequence[str],
        documents: Texts,
        hits: Hits,
        *,
        unwanted: np.ndarray | None = None,
        depth: int | None = None,
    ) -> "Run":
        """Put ids to what a search found.

        Args:
            name: The system.
            query_ids: Ids of the queries, in the order of the hits' rows.
            documents: The texts that were searched.
            hits: What was found.
            unwanted: Positions of the documents that each query's results are without, as of `Hits.without`; search as
                deep as `reach` says then.
            depth: Results kept of each query; None keeps all.
        """
        if unwanted is not None:
            hits = hits.without(unwanted, documents.empty)
        found, places = np.unique(hits.positions, return_inverse=True)
        known = int(np.searchsorted(found, 0))
        # Each id is one string, however many rankings it is in.
        ids = [""] * known + documents.ids(found[known:])
        rankings = {}
        for query_id, row, positions, scores in zip(
            query_ids, places.reshape(hits.positions.shape), hits.positions, hits.scores, strict=True
        ):
            present = int((positions >= 0).sum())
            ranking = Ranking.of([ids[place] for place in row[:present]], scores[:present])
            rankings[query_id] = Ranking(ranking.documents[:depth], ranking.scores[:depth])
        return cls(name, rankings)
