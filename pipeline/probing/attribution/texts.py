"""Which texts are attributed: each once, however many queries or judgements it stands in; and along which vectors."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.probing.models import ProbedModel
from pipeline.probing.probe import Subject
from pipeline.retrieval.negatives import Given
from pipeline.retrieval.tabulate import tabulate

NEGATIVES = 4
"""Of each query, the first so many, as the published study has it."""


@dataclass(frozen=True)
class UniqueTexts:
    """Queries, or relevant documents, each text once.

    Attributes:
        kind: Which.
        positions: Where each text first stands in the split, [texts]; short texts come first.
        rows: How many pairs of a query and a relevant document they come from.
        queries: Positions of the queries of each text: those that it is, or is relevant to.
    """

    kind: Kind
    positions: np.ndarray
    rows: int
    queries: list[list[int]]

    def read(self, subject: Subject, model: ProbedModel, separator: str | None = None) -> list[str]:
        """Read the texts, each after its title, with the separator between them or else the model's own."""
        separator = model.tower(self.kind).title_separator if separator is None else separator
        return self._texts(subject).take(self.positions, separator)

    def ids(self, subject: Subject) -> list[str]:
        """Read one id of each text."""
        return self._texts(subject).ids(self.positions)

    def _texts(self, subject: Subject) -> Texts:
        return subject.split.queries if self.kind == "query" else subject.split.documents


def relevant(subject: Subject, chosen: np.ndarray) -> dict[int, np.ndarray]:
    """Give the positions of the relevant documents of the chosen queries that have any.

    Raises:
        UserError: When none has.
    """
    positives, ids = subject.dataset.positives(subject.split), subject.split.queries.ids(chosen)
    every = {
        int(query): subject.split.documents.positions(positives[identifier])
        for query, identifier in zip(chosen, ids, strict=True)
        if identifier in positives
    }
    found = {query: documents[documents >= 0] for query, documents in every.items() if (documents >= 0).any()}
    if not found:
        raise UserError(
            f"No query of {subject.dataset.name}'s {subject.split.name} split has a relevant document; give another split."
        )
    return found


def answered(subject: Subject, positives: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Leave out queries that came without hard negatives, where the dataset's own are taken: the study has no such rows.

    Args:
        subject: What is looked into.
        positives: See `relevant`.

    Raises:
        UserError: When none came with any.
    """
    if not isinstance(subject.negatives, Given):
        return positives
    negatives = subject.negative_positions()
    assert negatives is not None
    found = {query: documents for query, documents in positives.items() if (negatives[query] >= 0).any()}
    if not found:
        raise UserError(
            f"No query of {subject.dataset.name}'s {subject.split.name} split has both a relevant document and a hard"
            " negative; give another split, or negatives=bm25."
        )
    return found


def unique_texts(subject: Subject, positives: dict[int, np.ndarray], kind: Kind) -> UniqueTexts:
    """Take each query, or each relevant document, once by its text.

    Args:
        subject: What is looked into.
        positives: See `relevant`.
        kind: Which of the two.
    """
    pairs = [(query, int(document)) for query, documents in positives.items() for document in documents]
    places = [query if kind == "query" else document for query, document in pairs]
    texts = (subject.split.queries if kind == "query" else subject.split.documents).take(places)
    first: dict[str, int] = {}
    queries: dict[str, list[int]] = {}
    for text, place, (query, _) in zip(texts, places, pairs, strict=True):
        first.setdefault(text, place)
        queries.setdefault(text, []).append(query)
    order = sorted(first, key=lambda text: (len(text), text))
    return UniqueTexts(
        kind,
        np.array([first[text] for text in order], dtype=np.int64),
        len(pairs),
        [sorted(set(queries[text])) for text in order],
    )


def negatives_of(subject: Subject, queries: list[int]) -> np.ndarray:
    """Give the positions of the queries' negatives, [queries, most], -1 where fewer.

    Raises:
        UserError: When a query has none.
    """
    found = subject.negative_positions()
    if found is None:
        raise UserError("probe.target=margin needs negatives; give negatives=bm25 or negatives=given.")
    found = np.asarray(found[queries, :NEGATIVES])
    without = int((found < 0).all(axis=1).sum())
    if without:
        raise UserError(
            f"probe.target=margin needs negatives, and {without:,} of {len(found):,} queries have none;"
            " give probe.target=score or another source of negatives."
        )
    return found


def directions(
    subject: Subject, model: ProbedModel, texts: UniqueTexts, positives: dict[int, np.ndarray], margin: bool
) -> np.ndarray:
    """Give the vector along which each text's own is looked at.

    A query's is the mean of its relevant documents' vectors; for the margin, less the mean of its negatives'. A
    document's is the mean of the vectors of the queries that it is relevant to: there, what is subtracted for a margin
    does not depend on the document, and changes no attribution.

    Args:
        subject: What is looked into.
        model: Whose vectors.
        texts: The texts.
        positives: See `relevant`.
        margin: Whether negatives count.

    Returns:
        float32 [texts, dimension].
    """
    if texts.kind == "document":
        queries = sorted(positives)
        vectors = dict(zip(queries, _vectors(subject, model, np.array(queries), "query"), strict=True))
        return np.stack([np.mean([vectors[query] for query in of], axis=0) for of in texts.queries])
    queries = sorted(positives)
    pulled = dict(zip(queries, _means(subject, model, [positives[query] for query in queries]), strict=True))
    if margin:
        pushed = _means(subject, model, list(negatives_of(subject, queries)))
        pulled = {query: pulled[query] - away for query, away in zip(queries, pushed, strict=True)}
    return np.stack([np.mean([pulled[query] for query in of], axis=0) for of in texts.queries])


def _means(subject: Subject, model: ProbedModel, groups: list[np.ndarray]) -> np.ndarray:
    """Average the vectors of each group of documents; -1 stands for none."""
    groups = [group[group >= 0] for group in groups]
    wanted = np.unique(np.concatenate(groups))
    vectors = _vectors(subject, model, wanted, "document")
    return np.stack([vectors[np.searchsorted(wanted, group)].mean(axis=0) for group in groups])


def _vectors(subject: Subject, model: ProbedModel, positions: np.ndarray, kind: Kind) -> np.ndarray:
    """Encode queries or documents of the split, [positions, dimension]."""
    texts = (subject.split.queries if kind == "query" else subject.split.documents).select(positions)
    label = f"{'queries' if kind == 'query' else 'documents'} with {model.name}"
    return np.array(tabulate(model.tower(kind), texts, kind, subject.encoding, subject.store, label).vectors)
