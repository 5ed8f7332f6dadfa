"""The one door into the store: whatever a source streams is checked here and written in one layout."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.acceptable import DECODED_TWICE, require_id, require_judged_id, require_text
from pipeline.data.lines import BadLines
from pipeline.data.pair_file import PairWriter
from pipeline.data.places import Places
from pipeline.data.repeats import queries_also_in, unlike
from pipeline.data.text_file import TextFile, TextFileWriter
from pipeline.data.trec_qrels import grade_of
from pipeline.errors import UserError
from pipeline.files import write_json

SPLITS = ("train", "validation", "test")
READING = "pretraining"
"""A split that has documents alone: what a language model may read before anything is trained on queries."""

ROWS_AT_ONCE = 8192


class DatasetWriter:
    """Takes documents, queries, judgements and hard negatives in any order, as a stream.

    Judgements may come before the texts that they name. Queries without a judgement are left out at the end and counted,
    and so are judgements of queries that do not come; a judged document that does not come is kept, as unreachable.
    Texts that come again under their id are read once.

    Args:
        folder: A new folder to fill.
        name: The dataset, as errors call it.
        first_stands: Whether a document may come again under its id with another text, and the first is kept.

    Attributes:
        bad: What is wrong with single rows; `with writer.bad:` around the work on a row goes on with the next.
    """

    def __init__(self, folder: Path, name: str, *, first_stands: bool = False) -> None:
        self._folder = folder
        self._name = name
        self._first_stands = first_stands
        self.bad = BadLines()
        self._places: dict[str, Places] = {}
        self._documents: dict[str, TextFileWriter] = {}
        self._queries: dict[str, TextFileWriter] = {}
        self._judgements: dict[str, PairWriter] = {}
        self._hard_negatives: dict[str, PairWriter] = {}
        self._collections: dict[str, str] = {}
        self._unsearched: set[str] = set()
        self._settings: dict[str, str] = {}
        self._groups: dict[str, dict[str, tuple[str, str]]] = {}
        self._excluded: dict[str, dict[str, list[str]]] = {}
        self.notes: dict[str, Any] = {}

    def document(self, id_: str, text: str, title: str = "", *, collection: str = "documents", where: str) -> None:
        """Add a document; one without any text is kept, as reference tools keep it, and counted.

        Args:
            id_: Unique in its collection.
            text: What is encoded, after the title; may be empty.
            title: May be empty.
            collection: Which corpus it belongs to, for datasets whose splits search different ones.
            where: The place in the source, for errors: `corpus.jsonl, line 3`.

        Raises:
            UserError: When the id or the text cannot be used.
        """
        require_id(id_, where, "document id")
        require_text(title, "title", where)
        require_text(text, "text", where)
        if not text.isascii() and DECODED_TWICE.search(text):
            self.count("decoded_twice")
        place = f"documents/{collection}"
        if collection not in self._documents:
            self._documents[collection] = TextFileWriter(self._folder / f"{place}.incoming")
        self._documents[collection].add(id_, title.strip(), text.strip())
        self._places.setdefault(place, Places()).add(where)

    def query(self, split: str, id_: str, text: str, *, where: str) -> None:
        """Add a query to a split.

        Raises:
            UserError: When the id or the text cannot be used.
        """
        require_id(id_, where, "query id")
        require_text(text, "text", where)
        if not text.strip():
            raise UserError(f"{where}: the query {id_!r} has no text; remove it or give it one.")
        self.split(split)
        self._queries[split].add(id_, "", text.strip())
        self._places.setdefault(f"queries/{split}", Places()).add(where)

    def judge(self, split: str, query_id: str, document_id: str, grade: object, *, where: str) -> None:
        """Say how relevant a document is to a query.

        Raises:
            UserError: When the grade is not a whole number.
        """
        require_judged_id(query_id, where, "query id")
        require_judged_id(document_id, where, "document id")
        self.split(split)
        self._judgements[split].add(query_id, document_id, grade_of(grade, where), where)

    def hard_negative(self, split: str, query_id: str, document_id: str, *, where: str) -> None:
        """Name a document that looks relevant to a query and is not."""
        require_judged_id(query_id, where, "query id")
        require_judged_id(document_id, where, "document id")
        self.split(split)
        self._hard_negatives[split].add(query_id, document_id, 0, where)

    def group(self, split: str, query_id: str, name: str, cluster: str) -> None:
        """Say which group of an experiment a query belongs to; these few are held in memory.

        Args:
            split: Of the query.
            query_id: Added before or after.
            name: Of the group.
            cluster: What was put into the group as a whole, and is drawn as a whole when its mean gets an interval.
        """
        self._groups.setdefault(split, {})[query_id] = (name, cluster)

    def exclude(self, split: str, query_id: str, documents: Sequence[str]) -> None:
        """Name documents that are no results of a query; these few are held in memory.

        Args:
            split: Of the query.
            query_id: Added before or after.
            documents: Their ids; what is not in the corpus is no matter.
        """
        self._excluded.setdefault(split, {})[query_id] = list(documents)

    def split(
        self, name: str, collection: str | None = None, *, searched: bool = True, setting: str | None = None
    ) -> None:
        """Announce a split, so that it may not stay empty.

        Args:
            name: `train`, `validation`, `test` or `pretraining`.
            collection: The documents that it searches; those named `documents` unless said.
            searched: Whether it must have queries; a corpus to pre-train on has none.
            setting: What gives it a larger share, for the error when it stays empty.
        """
        if name not in self._queries:
            if name not in (*SPLITS, READING):
                raise UserError(f"{self._name} has no split {name!r}; known are {', '.join(SPLITS)}.")
            self._collections[name] = "documents"
            self._queries[name] = TextFileWriter(self._folder / "queries" / f"{name}.incoming")
            self._judgements[name] = PairWriter(self._folder / f"judgements.{name}.incoming")
            self._hard_negatives[name] = PairWriter(self._folder / f"hard_negatives.{name}.incoming")
        if collection is not None:
            self._collections[name] = collection
        if not searched:
            self._unsearched.add(name)
        if setting is not None:
            self._settings[name] = setting

    def count(self, what: str, how_many: int = 1) -> None:
        """Add to a count that is reported with the dataset."""
        if how_many:
            self.notes[what] = self.notes.get(what, 0) + how_many

    def note(self, what: str, value: Any) -> None:
        """Report a JSON-like value with the dataset."""
        self.notes[what] = value

    def remark(self, sentence: str) -> None:
        """Report a sentence that whoever uses the dataset is told."""
        self.notes.setdefault("remarks", []).append(sentence)

    def finish(self) -> None:
        """Check what can only be checked at the end, and write the dataset's own file last.

        Raises:
            UserError: On duplicate ids, an empty corpus or split, and judgements that name unknown texts.
        """
        self.bad.refuse()
        if not self._documents:
            raise UserError(f"{self._name} has no documents; check that its path leads to the right files.")
        if not self._queries:
            raise UserError(f"{self._name} has no judged queries; check that its path leads to the right files.")
        documents = {name: self._close(writer, f"documents/{name}") for name, writer in self._documents.items()}
        for file in documents.values():
            self.count("empty_documents", int((file.lengths == 0).sum()))
        names = [name for name in (*SPLITS, READING) if name in self._queries]
        queries = {name: self._finish_split(name, documents) for name in names}
        self.bad.refuse()
        if shared := queries_also_in(queries):
            self.note("queries_also_in", shared)
        splits = {name: {"collection": self._collections[name]} for name in names}
        for name, groups in self._groups.items():
            write_json(self._folder / f"groups.{name}.json", groups)
        for name, excluded in self._excluded.items():
            write_json(self._folder / f"excluded.{name}.json", excluded)
        write_json(self._folder / "dataset.json", {"splits": splits, "notes": self.notes, "sizes": sizes(self._folder)})

    def _finish_split(self, name: str, documents: dict[str, TextFile]) -> TextFile:
        """Close one split's queries and turn the ids of its judgements into positions; give the judged queries."""
        collection = self._collections[name]
        if collection not in documents:
            raise UserError(f"{self._name}: the split {name} has no documents to search; check its files.")
        queries, corpus = self._close(self._queries[name], f"queries/{name}"), documents[collection]
        judgements, absent, counts = self._judgements[name].judgements(queries, corpus, self.bad)
        negatives, left_out = self._hard_negatives[name].candidates(queries, corpus)
        if name not in self._unsearched:
            self._require_judged(name, queries, counts, absent, judgements.documents < len(corpus))
        judged = np.zeros(len(queries), dtype=bool)
        judged[judgements.queries] = True
        self._count_all(counts + left_out)
        self.count("unjudged_queries", int((~judged).sum()))
        queries = filtered(queries, judged, self._folder / "queries" / name)
        judgements.write(self._folder / f"judgements.{name}", judged)
        if absent:
            write_json(self._folder / f"absent.{name}.json", absent)
        negatives = negatives.only(judged[negatives.queries])
        negatives.write(self._folder / f"hard_negatives.{name}", judged)
        return queries

    def _require_judged(
        self, name: str, queries: TextFile, counts: Counter[str], absent: list[str], reachable: np.ndarray
    ) -> None:
        """Refuse a split that has no queries, or whose judgements belong to other queries or another corpus."""
        if not len(queries):
            if counts["judgements_of_unknown_topics"]:
                raise UserError(
                    f"The split {name} of {self._name}: none of its judgements names one of its queries; give the files "
                    "that belong together."
                )
            setting = self._settings.get(name)
            cure = f"give it a larger share ({setting}) or more data" if setting else "check its files"
            raise UserError(f"The split {name} of {self._name} has no queries; {cure}.")
        if not len(reachable):
            raise UserError(f"The split {name} of {self._name} has no judgements of its queries; check its files.")
        if not reachable.any():
            raise UserError(
                f"The split {name} of {self._name}: none of the {len(absent):,} judged documents, such as {absent[0]!r}, "
                "is in the corpus; give the files that belong together."
            )

    def _count_all(self, counts: Mapping[str, int]) -> None:
        for what, how_many in counts.items():
            self.count(what, how_many)

    def _close(self, writer: TextFileWriter, place: str) -> TextFile:
        """Close a list of texts; what comes again under its id is read once, or refused where its text is another."""
        incoming = writer.close()
        repeated = incoming.lookup.repeated(incoming.ids)
        other = unlike(incoming, repeated)
        kind = place.partition("/")[0]
        # A query's judgements are put together by its id, so two texts would share them.
        if kind == "queries" or not self._first_stands:
            for later, first in sorted(repeated[other].tolist()):
                places = self._places[place]
                self.bad.add(
                    f"{places[later]}: the id {incoming.ids(np.array([later]))[0]!r} has another text than in "
                    f"{places[first]}; ids must be unique, so rename or remove one."
                )
        keep = np.ones(len(incoming), dtype=bool)
        keep[repeated[:, 0]] = False
        self.count(f"repeated_{kind}", len(repeated))
        self.count("unlike_documents_of_one_id", int(other.sum()))
        return filtered(incoming, keep, self._folder / (f"{place}.all" if kind == "queries" else place))


def filtered(file: TextFile, keep: np.ndarray, folder: Path) -> TextFile:
    """Move a list of texts to its final folder, with only the rows to keep.

    Args:
        file: Lies in a folder of its own, which is gone afterwards.
        keep: bool [rows].
        folder: The final place.
    """
    if keep.all():
        return file.moved(folder)
    kept = np.flatnonzero(keep)
    with TextFileWriter(folder) as writer:
        for start in range(0, len(kept), ROWS_AT_ONCE):
            rows = file.columns(kept[start : start + ROWS_AT_ONCE], ["id", "title", "text"])
            for row in zip(*rows, strict=True):
                writer.add(*row)
        result = writer.close()
    file.remove()
    return result


def sizes(folder: Path) -> dict[str, int]:
    """Give the bytes of every file in a folder but the dataset's own, to see later whether any is damaged."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "dataset.json"
    }
