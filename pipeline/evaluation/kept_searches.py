"""Searches of a split, each made once: what was found is kept where other runs find it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.hits import Hits, reach
from pipeline.retrieval.index import Index
from pipeline.retrieval.kept import kept_hits
from pipeline.retrieval.recall import recall_of_exact
from pipeline.retrieval.table import Table
from pipeline.retrieval.tabulate import tabulate


class KeptSearches:
    """Searches the splits of a dataset, or finds what an earlier run has found with the same system in the same texts.

    Args:
        dataset: Where the splits come from.
        lexical: BM25.
        index: Finds documents by their vectors.
        encoding: How frozen towers make tables.
        store: What runs share.
        depth: Results kept for each query.
    """

    def __init__(
        self, dataset: Dataset, lexical: Bm25, index: Index, encoding: EncodingSettings, store: Path, depth: int
    ) -> None:
        self.dataset, self.lexical, self.index = dataset, lexical, index
        self.encoding, self.store, self.depth = encoding, store, depth
        self._lexical_hits: dict[str, tuple[Hits, dict[str, Any]]] = {}

    def bm25(self, split: Split) -> tuple[Hits, dict[str, Any]]:
        """Give what BM25 finds for a split's queries, unwanted ones removed.

        Returns:
            The hits, and what is to be said of them: `nearly_empty_documents`, where those are most.
        """
        if split.name not in self._lexical_hits:

            def search() -> tuple[Hits, dict[str, Any]]:
                self.lexical.build(split.documents, self.store)
                few = self.lexical.nearly_empty
                said = {"nearly_empty_documents": few} if few > len(split.documents) / 2 else {}
                return self.lexical.search(split.queries.take(slice(None)), self._reach(split)), said

            found, said = kept_hits(self.store, self.bm25_key(split), search)
            self._lexical_hits[split.name] = self._wanted(split, found), said
        return self._lexical_hits[split.name]

    def bm25_key(self, split: Split) -> dict[str, Any]:
        """Name everything that determines what BM25 finds before unwanted results are removed."""
        return {
            "bm25": self.lexical.key_of(split.documents),
            "queries": split.queries.fingerprint,
            "reach": self._reach(split),
        }

    def dense(self, split: Split, documents: Table, queries: Table) -> tuple[Hits, dict[str, Any]]:
        """Give what the index finds among a split's documents, given their vectors and the queries'.

        Returns:
            The hits, and what is to be said of them: of an approximate search, `approximate` (see `recall_of_exact`).
        """

        def search() -> tuple[Hits, dict[str, Any]]:
            vectors = np.array(queries.vectors)  # a copy: torch warns about memory maps, which are read-only
            hits = self.index.search(vectors, self._reach(split), split.documents.precedence)
            if self.index.exact:
                return hits, {}
            return hits, {"approximate": recall_of_exact(self.index, vectors, hits, split.documents.precedence)}

        identity = self.index.identity(self._reach(split))
        made_from = {
            "index": identity,
            "documents": documents.key,
            "queries": queries.key,
            "reach": self._reach(split),
        }
        found, said = search() if identity is None else kept_hits(self.store, made_from, search)
        return self._wanted(split, found), said

    def _reach(self, split: Split) -> int:
        """How many results to search for: more where unwanted ones may be among them."""
        return reach(self.depth, self.dataset.unwanted(split), split.documents)

    def _wanted(self, split: Split, hits: Hits) -> Hits:
        return hits.without(self.dataset.unwanted(split), split.documents.empty).cut(self.depth)

    def tables(self, dual_encoder: DualEncoder, split: Split, seconds: dict[str, float]) -> tuple[Table, Table]:
        """Give the vectors of a split's documents and queries, and note what that took."""
        with timed(seconds, "encode_documents"):
            documents = tabulate(
                dual_encoder.tower("document"), split.documents, "document", self.encoding, self.store, "documents"
            )
        with timed(seconds, "encode_queries"):
            queries = tabulate(
                dual_encoder.tower("query"), split.queries, "query", self.encoding, self.store, f"{split.name} queries"
            )
        return documents, queries


@contextmanager
def timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    """Note how many seconds a piece of work took."""
    start = time.perf_counter()
    yield
    seconds[what] = round(time.perf_counter() - start, 3)
