"""What is found out every few steps of a training: real retrieval over a part of the validation split, and diagnostics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.errors import UserError
from pipeline.evaluation.geometry import FIGURES, LEAST_SAMPLE, alignment, distinct_rows, kl_divergence
from pipeline.evaluation.scoring import measure_retrieval
from pipeline.files import digest_of
from pipeline.retrieval.kept import kept_figures
from pipeline.retrieval.tabulate import tabulate
from pipeline.training.examples import positive_positions

VALIDATION_MEASURES = ("ndcg@10", "mrr@10", "map@100", "recall@100")
KL = "kl"
"""The divergence between both towers' outputs on the same documents: less is better."""
KL_SAMPLE = 500
"""Documents that the diagnostics look at."""
KL_OF_COPIES = -1000.0
"""Stands for minus infinity, the estimate where both towers give the same vectors, as two copies do."""


def best_row(validations: Sequence[dict[str, float]], monitor: str) -> dict[str, float]:
    """Give the best of several validations by one of their figures, the earliest of equals."""
    sign = -1 if monitor == KL else 1
    # A divergence cannot be estimated where too many vectors have become equal; nothing is worse.
    return max(validations, key=lambda row: (sign * row.get(monitor, math.inf), -row["step"]))


def below_start(start: Mapping[str, float], kept: Mapping[str, float], monitor: str) -> dict[str, list[float]]:
    """Name the figures by which weights after training are worse than those that the training began with.

    Args:
        start: The validation before any step.
        kept: That of the weights that come out.
        monitor: The figure that chose them; the first of the validation measures is looked at too.

    Returns:
        From a figure's name to what it was and what it is.
    """
    looked_at = [name for name in dict.fromkeys((monitor, VALIDATION_MEASURES[0])) if name in start and name in kept]
    sign = {name: -1 if name == KL else 1 for name in looked_at}
    return {name: [start[name], kept[name]] for name in looked_at if sign[name] * kept[name] < sign[name] * start[name]}


def best_validation(training: Mapping[str, Any]) -> float | None:
    """Give what a training reached at best on the validation split: settings are tuned by it, never by the test split.

    Args:
        training: `training` of a `metrics.json`.

    Returns:
        The monitored figure of the best validation; None where nothing was trained.
    """
    return training["validation"].get(training["monitor"]) if "validation" in training else None


class Validation:
    """Measures a dual encoder as it is, and says what its vectors look like.

    Args:
        dataset: Has a validation split.
        queries: Queries that are used, at most.
        documents: Documents beside those judged for them, at most.
        encoding: How texts are encoded.
        store: What runs share.
        frozen: Whether the document tower is; its vectors are kept in the store then.
        seed: Fixes which texts are used.

    Raises:
        UserError: When nothing in the split counts as relevant.
    """

    def __init__(
        self,
        dataset: Dataset,
        queries: int,
        documents: int,
        encoding: EncodingSettings,
        store: Path,
        frozen: bool,
        seed: int,
    ) -> None:
        self.dataset, self.encoding, self.store, self.frozen = dataset, encoding, store, frozen
        self.split = narrowed(dataset.split("validation"), queries, documents, seed)
        self.sample = sample_of(self.split.documents)
        found = positive_positions(dataset, self.split)
        self.pairs = np.array([[row, positions[0]] for row, positions in enumerate(found) if len(positions)])
        """A query and its first relevant document, positions [pairs, 2]."""
        if not len(self.pairs):
            raise UserError(
                f"The split validation of {dataset.name} has no document of grade {dataset.relevant_from} or more in its corpus, so no "
                "measure of relevance could be above 0; lower dataset.relevant_from, or give other judgements."
            )
        self._vectors: np.ndarray | None = None
        """Of the documents, where their tower is frozen."""

    def __call__(self, dual_encoder: DualEncoder) -> dict[str, float]:
        """Measure.

        Returns:
            The validation measures; for each tower, as `query/…` and `document/…`, the figures of `geometry`; the
            `alignment` of queries and their relevant documents; for two towers their `kl`, and how many of its
            documents repeat another and were left out.
        """
        tower, split = dual_encoder.query, self.split
        documents = self._documents(dual_encoder)
        queries = encode(tower, split.queries.take(slice(None), tower.title_separator), "query", self.encoding)
        row = measure_retrieval(
            queries, documents, split, list(VALIDATION_MEASURES), self.dataset, self.encoding.device
        )
        sampled = documents[self.sample]
        for side, vectors in (("query", queries), ("document", sampled)):
            if len(vectors) >= LEAST_SAMPLE:  # of fewer, no figure says what the tower does
                row |= {f"{side}/{name}": figure(vectors) for name, figure in FIGURES.items()}
        row["alignment"] = alignment(queries[self.pairs[:, 0]], documents[self.pairs[:, 1]])
        if not dual_encoder.symmetric:
            row |= self._divergence(dual_encoder, sampled)
        return row

    def before_training(self, dual_encoder: DualEncoder) -> dict[str, float]:
        """Measure a dual encoder that nothing has changed yet: once for all cells that start from it.

        Returns:
            The same as a call.
        """
        query, document = dual_encoder.query, dual_encoder.document
        made_from = {
            "query tower": query.fingerprint("query"),
            "document tower": document.fingerprint("document"),
            "query tower on documents": None if dual_encoder.symmetric else query.fingerprint("document"),
            "texts": [self.split.queries.fingerprint, self.split.documents.fingerprint],
            "judgements": digest_of(self.split.judgements),
            "relevance": [self.dataset.relevant_from, self.dataset.remove_self_hits],
            "excluded": self.split.excluded,
            "precision": [self.encoding.precision, self.encoding.torch_device.type],
        }
        return kept_figures(self.store, "validations", made_from, lambda: self(dual_encoder))

    def _documents(self, dual_encoder: DualEncoder) -> np.ndarray:
        tower, documents = dual_encoder.document, self.split.documents
        if self.frozen:
            if self._vectors is None:  # a frozen tower is a table
                table = tabulate(tower, documents, "document", self.encoding, self.store, "documents")
                self._vectors = np.array(table.vectors)
            return self._vectors
        return encode(tower, documents.take(slice(None), tower.title_separator), "document", self.encoding)

    def _divergence(self, dual_encoder: DualEncoder, sampled: np.ndarray) -> dict[str, float]:
        """Estimate the divergence of the query tower's outputs from the document tower's; equal ones count once."""
        kept = distinct_rows(sampled)
        if len(kept) < LEAST_SAMPLE:
            return {}
        texts = self.split.documents.take(self.sample[kept], dual_encoder.document.title_separator)
        others = encode(dual_encoder.query, texts, "document", self.encoding)
        estimate = max(kl_divergence(sampled[kept], others), KL_OF_COPIES)
        return {KL: estimate, "kl_repeated_documents": len(sampled) - len(kept)}


def sample_of(documents: Texts) -> np.ndarray:
    """Choose the documents that diagnostics look at, evenly: positions."""
    step = max(1, len(documents) // KL_SAMPLE)
    return np.arange(0, len(documents), step)[:KL_SAMPLE]


def narrowed(split: Split, queries: int, documents: int, seed: int) -> Split:
    """Keep a part of a split: queries drawn by the seed, every document judged for them, and others drawn as well.

    Args:
        split: The whole split.
        queries: How many queries to keep, at most.
        documents: How many documents to keep beside the judged ones, at most.
        seed: Fixes what is drawn.

    Returns:
        A split over views of the same texts, in their order.
    """
    generator = np.random.default_rng([seed, len(split.queries), len(split.documents)])
    kept_queries = split.queries
    if len(split.queries) > queries:
        kept_queries = split.queries.select(np.sort(generator.permutation(len(split.queries))[:queries]))
    judgements = {query_id: split.judgements[query_id] for query_id in kept_queries.ids()}
    judged = split.documents.positions({i for grades in judgements.values() for i in grades} - split.absent)
    others = np.setdiff1d(generator.permutation(len(split.documents))[: documents + len(judged)], judged)
    kept = np.union1d(judged, generator.permutation(others)[:documents])
    return replace(
        split, documents=split.documents.select(kept), queries=kept_queries, judgements=judgements, hard_negatives={}
    )
