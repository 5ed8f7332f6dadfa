"""Retrieval by a model some of whose parts are edited: exact, query by query, beside the same queries unedited."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from pipeline.data.dataset import Split
from pipeline.encoders.backbones import Kind
from pipeline.encoders.encoding import Encoder
from pipeline.evaluation.measures import parse_measures
from pipeline.evaluation.scoring import score_retrieval
from pipeline.files import digest_of
from pipeline.probing.intervention.edits import Edit, edited
from pipeline.probing.kept import kept
from pipeline.probing.models import ProbedModel
from pipeline.probing.probe import Subject
from pipeline.retrieval.hits import reach
from pipeline.retrieval.table import Table
from pipeline.retrieval.tabulate import tabulate
from pipeline.retrieval.torch_index import TorchIndex

FIRST_RESULTS = 10
"""A query that has a document among so many first results retrieves it."""
TEXTS_AT_ONCE = 256

Advance = Callable[[int], None]
Edits = Mapping[Kind, Edit]
"""How the tower of queries, of documents, or both are edited."""


class EditedRetrieval:
    """A split's retrieval by one model, as it is and edited.

    Args:
        subject: Whose split and tables.
        model: The model.
        measures: Names such as `ndcg@10`.
        source: The model that `patch` takes activations from; None where nothing is patched.
    """

    def __init__(
        self, subject: Subject, model: ProbedModel, measures: Sequence[str], source: ProbedModel | None
    ) -> None:
        self.subject = subject
        self.model = model
        self.measures = [measure.name for measure in parse_measures(measures)]
        self.source = source
        self._source_backbones: dict[Kind, PreTrainedModel] = {}

    @cached_property
    def documents(self) -> Table:
        """The vectors of all documents, unedited."""
        return self._table("document")

    @cached_property
    def queries(self) -> Table:
        """The vectors of all queries, unedited."""
        return self._table("query")

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Everything that decides vectors and scores beside the edit: towers, texts, judgements."""
        subject, kinds = self.subject, ("query", "document")
        prints = {kind: self.model.tower(kind).fingerprint(kind) for kind in kinds}  # type: ignore[arg-type]
        if self.source:
            prints |= {f"source {kind}": self.source.tower(kind).fingerprint(kind) for kind in kinds}  # type: ignore[arg-type]
        rules = [subject.split.judgements, subject.dataset.relevant_from, subject.dataset.remove_self_hits]
        return {**prints, "dataset": digest_of([subject.dataset.fingerprint, subject.split.name, rules])}

    def first_results(self) -> dict[str, set[str]]:
        """Give the first documents of every query, unedited: from query id to document ids."""
        split = self.subject.split
        unwanted = self.subject.dataset.unwanted(split)
        index = TorchIndex(device=self.subject.encoding.device)
        index.build(self.documents)
        depth = reach(FIRST_RESULTS, unwanted, split.documents)
        hits = index.search(np.array(self.queries.vectors), depth, split.documents.precedence)
        hits, ids = hits.without(unwanted, split.documents.empty).cut(FIRST_RESULTS), split.queries.ids()
        return {query: set(split.documents.ids(row[row >= 0])) for query, row in zip(ids, hits.positions, strict=True)}

    def unedited(self, rows: np.ndarray) -> np.ndarray:
        """Score some queries as the model is.

        Args:
            rows: Their positions in the split.

        Returns:
            float64 [rows, measures].
        """
        return self._scores(np.array(self.queries.vectors[rows]), self.documents, rows)

    def texts(self, edits: Edits, rows: np.ndarray) -> int:
        """Count what `under` encodes."""
        return sum(len(rows) if kind == "query" else len(self.subject.split.documents) for kind in edits)

    def under(self, edits: Edits, rows: np.ndarray, advance: Advance | None = None) -> np.ndarray:
        """Score some queries while towers are edited; kept, so that it is done once.

        A tower that is not edited is read from its table. An edited tower of documents encodes the corpus again.

        Args:
            edits: What is done to which tower.
            rows: Positions of the queries in the split.
            advance: Called with the number of texts just encoded, and with those that need not be.

        Returns:
            float64 [rows, measures].
        """
        left = self.texts(edits, rows)

        def count(done: int) -> None:
            nonlocal left
            left -= done
            if advance:
                advance(done)

        made_from = {
            **self.fingerprints,
            "edits": {kind: asdict(edit) for kind, edit in edits.items()},
            "rows": rows.tolist(),
            "measures": self.measures,
            "precision": self.subject.encoding.precision,
        }
        scores = kept(self.subject.store, "intervention", made_from, lambda: self._measured(edits, rows, count))[
            "scores"
        ]
        count(left)
        return scores

    def _measured(self, edits: Edits, rows: np.ndarray, advance: Advance) -> dict[str, np.ndarray]:
        documents = self.documents
        if "document" in edits:
            everything = np.arange(len(self.subject.split.documents))
            documents = Table.from_array(self._vectors("document", edits["document"], everything, advance))
        queries = (
            self._vectors("query", edits["query"], rows, advance)
            if "query" in edits
            else np.array(self.queries.vectors[rows])
        )
        return {"scores": self._scores(queries, documents, rows)}

    def _vectors(self, kind: Kind, edit: Edit, rows: np.ndarray, advance: Advance) -> np.ndarray:
        """Encode some texts by an edited tower, float32 [rows, dimension]."""
        tower, split = self.model.tower(kind), self.subject.split
        texts = split.queries if kind == "query" else split.documents
        vectors = np.empty((len(rows), tower.dimension), dtype=np.float32)
        with edited(tower.backbone, edit, self._source_backbone(kind)):
            encoder = Encoder(tower, self.subject.encoding)
            for start in range(0, len(rows), TEXTS_AT_ONCE):
                chunk = slice(start, start + TEXTS_AT_ONCE)
                vectors[chunk] = encoder.encode(texts.take(rows[chunk], tower.title_separator), kind)
                advance(len(rows[chunk]))
        return vectors

    def _source_backbone(self, kind: Kind) -> PreTrainedModel | None:
        """A copy of what is patched from, where and in the precision in which the edited tower encodes."""
        if self.source is None:
            return None
        if kind not in self._source_backbones:
            settings = self.subject.encoding
            # Not the fast copy: its layers are packed, and their inputs could not be looked at.
            copied: Any = copy.deepcopy(self.source.tower(kind).backbone).eval()
            self._source_backbones[kind] = copied.to(settings.torch_device, settings.dtype)
        return self._source_backbones[kind]

    def _scores(self, queries: np.ndarray, documents: Table, rows: np.ndarray) -> np.ndarray:
        """Score the vectors of some queries, float64 [rows, measures]; a row may stand there twice."""
        subject = self.subject
        once, first, places = np.unique(rows, return_index=True, return_inverse=True)
        split = only_queries(subject.split, once)
        scores = score_retrieval(
            queries[first], documents, split, self.measures, subject.dataset, subject.encoding.device
        )
        return np.stack([scores.per_query[name] for name in self.measures], axis=1)[places]

    def _table(self, kind: Kind) -> Table:
        split = self.subject.split
        texts, label = (split.queries, f"{split.name} queries") if kind == "query" else (split.documents, "documents")
        settings = self.subject.encoding
        return tabulate(
            self.model.tower(kind), texts, kind, settings, self.subject.store, f"{label}, {self.model.name}"
        )


def only_queries(split: Split, rows: np.ndarray) -> Split:
    """Leave some queries of a split, and all of its documents."""
    queries = split.queries.select(rows)
    return replace(split, queries=queries, judgements={query: split.judgements[query] for query in queries.ids()})
