"""TREC collections: documents and topics in markup, judgements in columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.data.lines import existing, open_bytes
from pipeline.data.shares import Paths, Shares, dealt, paths
from pipeline.data.source import Source
from pipeline.data.trec_markup import document_of, read_blocks, topic_of
from pipeline.data.trec_qrels import read_qrels
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

BEGINNING = 1 << 16
"""How many bytes of a file are looked at to see what it is."""


class Trec(Source):
    """A test collection in TREC's layout, such as Cranfield (1,400 documents, 225 queries).

    Documents without any text are kept, as TREC's tools keep them, and counted: they are never found.

    Args:
        path: A folder in which documents, topics and judgements are told apart by what they hold.
        documents: Files or folders of documents; None: found in `path`.
        topics: The file of topics; None: found in `path`.
        qrels: The file of judgements; None: found in `path`.
        topics_numbered: Whether judgements name a topic by its number (`id`) or count the topics from 1 (`position`).
        topic_fields: Which fields of a topic make the query.
        split: Shares of the topics.
        **settings: Those of every source.
    """

    keep_empty_documents = True

    def __init__(
        self,
        *,
        path: str | None = None,
        documents: Paths = None,
        topics: str | None = None,
        qrels: str | None = None,
        topics_numbered: Literal["id", "position"] = "id",
        topic_fields: Sequence[str] = ("title",),
        split: Mapping[str, float] | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name=name or (Path(path).resolve().name if path else None), **settings)
        if topics_numbered not in ("id", "position"):
            raise UserError(f"dataset.topics_numbered is {topics_numbered!r}; it must be id or position.")
        self.path = path
        self.documents, self.topics, self.qrels = paths(documents), topics, qrels
        self.topics_numbered = topics_numbered
        self.topic_fields = list(topic_fields)
        self.shares = Shares.of(split or {"test": 1.0})

    def inputs(self) -> list[Path]:
        """Give documents, topics and judgements."""
        return [*self._documents(), self._only("topics", self.topics), self._only("qrels", self.qrels)]

    def _documents(self) -> list[Path]:
        """Find the files of documents."""
        found = []
        for given in self.documents:
            place = existing(given, "dataset.documents")
            found += [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        return found or self._of_kind("documents")

    def _only(self, kind: str, given: str | None) -> Path:
        """Find the one file of topics or judgements."""
        if given is not None:
            return existing(given, f"dataset.{kind}")
        found = self._of_kind(kind)
        if len(found) > 1:
            listed = ", ".join(path.name for path in found)
            raise UserError(
                f"{self.path} holds several files of {kind} ({listed}); choose one with dataset.{kind}=FILE."
            )
        return found[0]

    def _of_kind(self, kind: str) -> list[Path]:
        """Find the files of a kind in the folder.

        Raises:
            UserError: When there is none.
        """
        folder = existing(self.path, "dataset.path")
        candidates = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
        found = [path for path in candidates if _kind(path) == kind]
        if not found:
            raise UserError(f"{folder} holds no {kind} in TREC's layout; name the file with dataset.{kind}=FILE.")
        return found

    def write(self, writer: DatasetWriter) -> None:
        """Stream topics, judgements and documents."""
        self.shares.announce(writer)
        topics = self._write_topics(writer)
        for where, query, document, grade in read_qrels(self._only("qrels", self.qrels)):
            if query not in topics:
                other = {"id": "position", "position": "id"}[self.topics_numbered]
                raise UserError(
                    f"{where}: there is no topic {query!r}; give the topics that belong to these judgements, or set "
                    f"dataset.topics_numbered={other} (do judgements name a topic's <num> or count the topics?)."
                )
            writer.judge(topics[query], query, document, grade, where=where)
        for path in self._documents():
            for where, block in read_blocks(path, "doc"):
                id_, title, text = document_of(block, where)
                writer.document(id_, text, title, where=where)

    def _write_topics(self, writer: DatasetWriter) -> dict[str, str]:
        """Write the topics; give their ids, as judgements name them, with their splits."""
        topics = []
        blocks = read_blocks(self._only("topics", self.topics), "top|topic")
        for position, (where, block) in enumerate(blocks, start=1):
            number, text = topic_of(block, self.topic_fields, where)
            topics.append((number if self.topics_numbered == "id" else str(position), text, where))
        split_of = dealt(self.shares, ((query, text) for query, text, _ in topics))
        for query, text, where in topics:
            writer.query(split_of(query), query, text, where=where)
        return {query: split_of(query) for query, _, _ in topics}


def _kind(path: Path) -> str | None:
    """Tell what a file holds by its beginning."""
    with open_bytes(path) as file:
        beginning = file.read(BEGINNING).lower()
    if beginning.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):  # a text that only mentions the tags begins otherwise
        if b"<docno>" in beginning:
            return "documents"
        if b"<top>" in beginning or b"<topic " in beginning:
            return "topics"
    first = beginning.partition(b"\n")[0].split()
    return "qrels" if len(first) == 4 and first[3].lstrip(b"-").isdigit() else None
