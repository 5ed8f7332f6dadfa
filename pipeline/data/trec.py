"""TREC collections: documents and topics in markup, judgements in columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.data.lines import beginning_of, existing
from pipeline.data.shares import Paths, Shares, dealt, paths
from pipeline.data.source import Source
from pipeline.data.trec_markup import document_of, read_blocks, topic_of
from pipeline.data.trec_qrels import WHOLE_NUMBER, read_qrels
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
        encoding: Of documents and topics.
        split: Shares of the topics.
        **settings: Those of every source.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        documents: Paths = None,
        topics: str | None = None,
        qrels: str | None = None,
        topics_numbered: Literal["id", "position"] = "id",
        topic_fields: Sequence[str] = ("title",),
        encoding: str = "utf-8",
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
        self.encoding = _encoding(encoding)
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
        topics = self._read_topics(writer)
        split_of = dealt(self.shares, ((query, text) for query, _, text, _ in topics))
        for query, _, text, where in topics:
            with writer.bad:
                writer.query(split_of(query), query, text, where=where)
        asked: dict[str, str] = {}
        for where, query, document, grade in read_qrels(self._only("qrels", self.qrels)):
            asked.setdefault(query, where)
            with writer.bad:
                writer.judge(split_of(query), query, document, grade, where=where)
        writer.bad.refuse()
        self._require_numbering(topics, asked)
        for path in self._documents():
            for where, block in read_blocks(path, "doc", self.encoding):
                with writer.bad:
                    id_, title, text = document_of(block, where)
                    writer.document(id_, text, title, where=where)

    def _read_topics(self, writer: DatasetWriter) -> list[tuple[str, str, str, str]]:
        """Read of every topic its id as judgements name it, the one they would name it by otherwise, text and place."""
        topics = []
        blocks = read_blocks(self._only("topics", self.topics), "top|topic", self.encoding)
        for position, (where, block) in enumerate(blocks, start=1):
            with writer.bad:
                number, text = topic_of(block, self.topic_fields, where)
                ids = (number, str(position)) if self.topics_numbered == "id" else (str(position), number)
                topics.append((*ids, text, where))
        return topics

    def _require_numbering(self, topics: list[tuple[str, str, str, str]], asked: Mapping[str, str]) -> None:
        """Refuse judgements that name topics in the other way; of a pool, topics that are not there are left out."""
        unknown = [query for query in asked if query not in {topic[0] for topic in topics}]
        if unknown and (asked.keys() <= {topic[1] for topic in topics} or len(unknown) == len(asked)):
            other = {"id": "position", "position": "id"}[self.topics_numbered]
            raise UserError(
                f"{asked[unknown[0]]}: there is no topic {unknown[0]!r}; give the topics that belong to these judgements,"
                f" or set dataset.topics_numbered={other} (do judgements name a topic's <num> or count the topics?)."
            )


def _encoding(name: str) -> str:
    """Check the name of an encoding in which, as in all of TREC's, a line's end is one byte.

    Raises:
        UserError: When Python knows no such encoding, or it writes ASCII otherwise.
    """
    try:
        single = "<\n".encode(name) == b"<\n"
    except LookupError:
        single = False
    if not single:
        raise UserError(
            f"dataset.encoding is {name!r}; it must be one that extends ASCII, such as utf-8, latin-1 or cp1252."
        )
    return name


def _kind(path: Path) -> str | None:
    """Tell what a file holds by its beginning."""
    beginning = beginning_of(path, BEGINNING).lower()
    if beginning.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):  # a text that only mentions the tags begins otherwise
        if b"<docno>" in beginning:
            return "documents"
        if b"<top>" in beginning or b"<topic " in beginning:
            return "topics"
    first = [line.split() for line in beginning.decode(errors="replace").splitlines()[:2]]  # the first may name columns
    return "qrels" if any(len(row) == 4 and WHOLE_NUMBER.fullmatch(row[3]) for row in first) else None
