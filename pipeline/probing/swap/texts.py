"""What a quick retrieval searches: some queries, their judged documents, and a sample of others; measured exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.self_hits import unwanted
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.evaluation.depths import DEPTH
from pipeline.evaluation.measures import Judgements, measure, parse_measures
from pipeline.probing.judged import Judged
from pipeline.probing.probe import Subject
from pipeline.retrieval.hits import reach
from pipeline.retrieval.run import Run
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex


@dataclass(frozen=True)
class Search:
    """A retrieval that is measured again and again with other vectors.

    Attributes:
        queries: What is asked.
        documents: What is searched.
        judgements: Grades of the documents, by query in the order of the queries.
        measures: Names such as `ndcg@10`.
        relevant_from: Smallest grade that counts as relevant.
        unwanted: The documents that are no results of each query, int64 [queries, most of any query], filled with -1.
    """

    queries: Texts
    documents: Texts
    judgements: Judgements
    measures: Sequence[str]
    relevant_from: int
    unwanted: np.ndarray

    def texts(self, kind: Kind) -> Texts:
        """Give the queries or the documents."""
        return self.queries if kind == "query" else self.documents

    def content(self) -> dict[str, Any]:
        """Say what decides the figures beside the vectors."""
        return {
            "texts": [self.queries.fingerprint, self.documents.fingerprint],
            "judgements": self.judgements,
            "measures": list(self.measures),
            "relevant_from": self.relevant_from,
            "unwanted": self.unwanted.tolist(),
        }

    def score(self, queries: np.ndarray, documents: np.ndarray, device: str) -> dict[str, np.ndarray]:
        """Search exactly and measure.

        Args:
            queries: float32 [queries, dimension].
            documents: float32 [documents, dimension].
            device: Where to search.

        Returns:
            By measure, one value for each query, float64 [queries].
        """
        index = TorchIndex(device=device)
        index.build(Table.from_array(documents))
        depth = max(item.cutoff or DEPTH for item in parse_measures(self.measures))
        hits = index.search(queries, reach(depth, self.unwanted, self.documents), self.documents.precedence)
        run = Run.from_hits("dense", self.queries.ids(), self.documents, hits, unwanted=self.unwanted, depth=depth)
        return measure(run, self.judgements, self.measures, self.relevant_from).per_query


def search_of(subject: Subject, chosen: Judged, documents: int | None, measures: Sequence[str]) -> Search:
    """Choose what is searched.

    Args:
        subject: The split that it is part of.
        chosen: The queries.
        documents: How many documents, those judged for the queries among them however many they are, the others drawn
            from the seed; None: all.
        measures: Names of measures.
    """
    split = subject.split
    ids = chosen.queries.ids()
    judgements = {query: split.judgements[query] for query in ids}
    texts = split.documents
    if documents is not None and documents < len(texts):
        judged = np.unique(texts.positions(document for grades in judgements.values() for document in grades))
        judged = judged[judged >= 0]
        others = np.random.default_rng(subject.seed).permutation(len(texts))
        others = others[~np.isin(others, judged)][: max(0, documents - len(judged))]
        texts = texts.select(np.sort(np.concatenate([judged, others])))
    left_out = unwanted(chosen.queries, texts, judgements, subject.dataset.remove_self_hits, split.excluded)
    return Search(chosen.queries, texts, judgements, measures, subject.dataset.relevant_from, left_out)


def vectors(tower: TransformerTower, texts: Texts, kind: Kind, settings: EncodingSettings) -> np.ndarray:
    """Encode texts, a window at a time.

    Args:
        tower: Encodes them.
        texts: All of them are encoded.
        kind: Queries or documents.
        settings: Precision, batching and device.

    Returns:
        float32 [texts, dimension].
    """
    encoder = Encoder(tower, settings)
    found = np.empty((len(texts), tower.dimension), dtype=np.float32)
    for start in range(0, len(texts), settings.window):
        rows = slice(start, min(start + settings.window, len(texts)))
        found[rows] = encoder.encode(texts.take(rows, tower.title_separator), kind)
    return found
