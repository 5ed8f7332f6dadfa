"""What a dataset is once it is on disk: splits of documents, queries, judgements and hard negatives."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.data.pair_file import Pairs
from pipeline.data.self_hits import self_hits, unwanted
from pipeline.data.texts import Texts
from pipeline.errors import UserError, nearest
from pipeline.files import digest_of, read_json


class Group(NamedTuple):
    """Where a query stands in an experiment that treats parts of a collection differently.

    Attributes:
        name: Of the group.
        cluster: What was put into the group as a whole, an article or a paragraph.
    """

    name: str
    cluster: str


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        name: `train`, `validation` or `test`; or `pretraining`, which has documents and no queries.
        documents: The corpus searched for this split; splits may share one object.
        queries: The judged queries, in the source's order.
        judgements: From query id to document id to grade; grades may be zero or less, and documents absent from
            `documents`: nobody can find those, and they count.
        hard_negatives: From query id to ids in `documents`, as the source gives them; empty when it gives none.
        groups: From query id to its group, where the source makes an experiment of the split; else empty.
        excluded: From query id to ids of documents that are no results of it; empty where the source names none.
        absent: Ids of judged documents that `documents` lacks.
    """

    name: str
    documents: Texts
    queries: Texts
    judgements: dict[str, dict[str, int]]
    hard_negatives: dict[str, list[str]]
    groups: dict[str, Group] = field(default_factory=dict)
    excluded: dict[str, list[str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dataset:
    """Documents, queries and graded judgements by split.

    Attributes:
        name: What results call it.
        splits: From split name to split.
        relevant_from: The smallest grade that counts as relevant in binary measures and as a training positive.
        remove_self_hits: Whether a document whose id is the query's is dropped from results; None: where it has the
            query's text too.
        fingerprint: SHA-256 over every text, judgement and hard negative.
        notes: Counts and facts to report.
    """

    name: str
    splits: dict[str, Split]
    relevant_from: int
    remove_self_hits: bool | None
    fingerprint: str
    notes: dict[str, Any]

    @property
    def label(self) -> str:
        """The name, and what tells other contents under the same name from these."""
        return labelled(self.name, self.fingerprint)

    def split(self, name: str) -> Split:
        """Give a split.

        Raises:
            UserError: When the dataset has no such split; the sentence names those it has.
        """
        if name not in self.splits:
            raise UserError(
                f"The dataset {self.name} has no split {name!r}; {nearest(name, self.splits)} Or say what shall be in it: by "
                "dataset.split or dataset.validation_share, or by files of its own (conf/dataset lists what each kind takes)."
            )
        return self.splits[name]

    def self_hits(self, split: Split) -> np.ndarray:
        """Give the document that is no result of each query, because it is the query itself.

        Returns:
            Positions in the split's documents, int64 [queries]; -1 where there is none.
        """
        return self_hits(split.queries, split.documents, split.judgements, self.remove_self_hits)

    def unwanted(self, split: Split) -> np.ndarray:
        """Give all documents that are no results of each query: the query itself, and what the source excludes.

        Returns:
            Positions in the split's documents, int64 [queries, most of any query]; -1 where there are fewer.
        """
        return unwanted(split.queries, split.documents, split.judgements, self.remove_self_hits, split.excluded)

    def positives(self, split: Split | str) -> dict[str, list[str]]:
        """Give the relevant documents of a split's queries that its corpus holds.

        Args:
            split: A split or its name.

        Returns:
            From query id to document ids with a grade of at least `relevant_from`; queries without any are left out.
        """
        if isinstance(split, str):
            split = self.split(split)
        relevant = {
            query: [
                document
                for document, grade in grades.items()
                if grade >= self.relevant_from and document not in split.absent
            ]
            for query, grades in split.judgements.items()
        }
        return {query: documents for query, documents in relevant.items() if documents}


def labelled(name: str, fingerprint: str) -> str:
    """Write a dataset's name with the beginning of its fingerprint: `python_docs (1a2b3c4d)`."""
    return f"{name} ({fingerprint[:8]})" if fingerprint else name


@dataclass(frozen=True)
class StoredSplit:
    """A split as it lies on disk, before ids are read."""

    name: str
    collection: str
    queries: Texts
    judgements: Pairs
    hard_negatives: Pairs
    absent: list[str]
    """Ids of judged documents that the corpus lacks; the first has the position that follows its last."""


def read_dataset(
    folder: Path, name: str, limit: int | None, relevant_from: int, remove_self_hits: bool | None
) -> Dataset:
    """Open a folder that a `DatasetWriter` finished.

    Args:
        folder: The folder.
        name: What results call the dataset.
        limit: At most so many queries a split, all documents judged or given for them, and so many others.
        relevant_from: The smallest grade that counts as relevant.
        remove_self_hits: Whether documents with the query's id are dropped from results; None: where texts agree.
    """
    entry = read_json(folder / "dataset.json")
    stored = [_stored(folder, split, part["collection"]) for split, part in entry["splits"].items()]
    documents = {split.collection: Texts.open(folder / "documents" / split.collection) for split in stored}
    chosen = documents
    if limit is not None:
        kept = {split.name: np.sort(split.queries.hash_order()[:limit]) for split in stored}
        stored = [_with_queries(split, kept[split.name]) for split in stored]
        chosen = {collection: _limited(texts, collection, stored, limit) for collection, texts in documents.items()}
    splits = {
        split.name: Split(
            split.name,
            chosen[split.collection],
            split.queries,
            judged := _judgements(split, documents[split.collection]),
            _hard_negatives(split, documents[split.collection], judged, relevant_from),
            _groups(folder / f"groups.{split.name}.json", judged),
            _of_queries(folder / f"excluded.{split.name}.json", judged),
            frozenset(split.absent),
        )
        for split in stored
    }
    notes = _counts(stored, chosen) | entry["notes"] | ({} if limit is None else {"limit": limit})
    return Dataset(name, splits, relevant_from, remove_self_hits, _fingerprint(splits.values(), stored), notes)


def _counts(splits: list[StoredSplit], documents: dict[str, Texts]) -> dict[str, Any]:
    """Count what the opened dataset holds, split by split."""
    return {
        "documents": {split.name: len(documents[split.collection]) for split in splits},
        "queries": {split.name: len(split.queries) for split in splits},
        "judgements": {split.name: len(split.judgements) for split in splits},
        "hard_negatives": {split.name: len(split.hard_negatives) for split in splits},
    }


def _stored(folder: Path, name: str, collection: str) -> StoredSplit:
    return StoredSplit(
        name,
        collection,
        Texts.open(folder / "queries" / name),
        Pairs.read(folder / f"judgements.{name}"),
        Pairs.read(folder / f"hard_negatives.{name}"),
        read_json(absent) if (absent := folder / f"absent.{name}.json").exists() else [],
    )


def _with_queries(split: StoredSplit, kept: np.ndarray) -> StoredSplit:
    """Leave only some queries, and the pairs that name them."""

    def only(pairs: Pairs) -> Pairs:
        pairs = pairs.only(np.isin(pairs.queries, kept))
        return Pairs(np.searchsorted(kept, pairs.queries), pairs.documents, pairs.grades)

    return StoredSplit(
        split.name,
        split.collection,
        split.queries.select(kept),
        only(split.judgements),
        only(split.hard_negatives),
        split.absent,
    )


def _limited(texts: Texts, collection: str, splits: list[StoredSplit], limit: int) -> Texts:
    """Choose the documents that the kept queries name, and a few others by the hashes of their ids."""
    named = [
        pairs.documents
        for split in splits
        if split.collection == collection
        for pairs in (split.judgements, split.hard_negatives)
    ]
    needed = np.unique(np.concatenate(named))
    needed = needed[needed < len(texts)]
    first = texts.hash_order()[: limit + len(needed)]
    others = first[~np.isin(first, needed)][:limit]
    return texts.select(np.sort(np.concatenate([needed, others])))


def _judgements(split: StoredSplit, documents: Texts) -> dict[str, dict[str, int]]:
    """Turn positions into ids: every query of the split, in order."""
    found: dict[str, dict[str, int]] = {query: {} for query in split.queries.ids()}
    pairs = split.judgements
    there = pairs.documents < len(documents)
    ids = np.empty(len(pairs), dtype=object)
    ids[there] = documents.ids(pairs.documents[there])
    ids[~there] = [split.absent[place] for place in pairs.documents[~there] - len(documents)]
    for query, document, grade in zip(split.queries.ids(pairs.queries), ids, pairs.grades.tolist(), strict=True):
        found[query][document] = grade
    return found


def _hard_negatives(
    split: StoredSplit, documents: Texts, judgements: dict[str, dict[str, int]], relevant_from: int
) -> dict[str, list[str]]:
    """Turn positions into ids: only queries that have any, in the source's order, without documents judged relevant."""
    found: dict[str, list[str]] = {}
    pairs = split.hard_negatives
    for query, document in zip(split.queries.ids(pairs.queries), documents.ids(pairs.documents), strict=True):
        if judgements[query].get(document, relevant_from - 1) < relevant_from:
            found.setdefault(query, []).append(document)
    return found


def _groups(path: Path, queries: Iterable[str]) -> dict[str, Group]:
    """Read the groups of a split's queries, where there are any."""
    return {query: Group(*group) for query, group in _of_queries(path, queries).items()}


def _of_queries(path: Path, queries: Iterable[str]) -> dict[str, Any]:
    """Read what a file says of a split's queries, where there is one."""
    found = read_json(path) if path.exists() else {}
    return {query: found[query] for query in queries if query in found}


def _fingerprint(splits: Iterable[Split], stored: list[StoredSplit]) -> str:
    """Fingerprint everything that a dataset says."""
    parts = [
        {
            "split": split.name,
            "documents": split.documents.fingerprint,
            "queries": split.queries.fingerprint,
            "judgements": _digest(on_disk.judgements),
            "hard_negatives": _digest(on_disk.hard_negatives),
        }
        | ({"groups": split.groups} if split.groups else {})
        | ({"absent": on_disk.absent} if on_disk.absent else {})
        | ({"excluded": split.excluded} if split.excluded else {})
        for split, on_disk in zip(splits, stored, strict=True)
    ]
    return digest_of(parts)


def _digest(pairs: Pairs) -> str:
    columns = (pairs.queries, pairs.documents, pairs.grades)
    return hashlib.sha256(b"".join(column.astype("<i8").tobytes() for column in columns)).hexdigest()
