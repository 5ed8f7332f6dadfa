"""Records that hold a query beside its relevant texts, whatever their fields are called."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from pipeline.data.lines import field, given_text, identifier
from pipeline.data.lookup import id_of
from pipeline.data.shares import Shares
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

ID_FIELDS = ("docid", "doc_id", "passage_id", "psg_id", "_id", "id")
"""What the id of a text is called that comes as an object of its own (Tevatron's and DPR's words among them)."""


@dataclass(frozen=True)
class Fields:
    """The names of a record's fields.

    A document or negative may be a text, an object of `text`, `title` and an id, or a list of either. Where no id is
    named, equal texts are one text: a query that comes again with another document has two relevant documents.

    Attributes:
        query: Holds the query.
        document: Holds the relevant document or documents.
        negative: Holds hard negatives; None: there are none.
        title: Holds the title of a document that is a mere text; None: it has none.
        query_id: Holds the query's id; None: made from its text.
        document_id: Holds the id of a document that is a mere text; None: made from title and text.
    """

    query: str
    document: str
    negative: str | None = None
    title: str | None = None
    query_id: str | None = None
    document_id: str | None = None

    def columns(self) -> list[str]:
        """Name the fields that are read."""
        named = (getattr(self, each.name) for each in fields(self))
        return [name for name in named if name is not None]

    def write(self, record: dict[str, Any], where: str, shares: Shares, writer: DatasetWriter) -> None:
        """Pass a record on; one that lacks a field, or holds something else in it, is counted among the bad ones.

        Args:
            record: The record.
            where: Its place, for errors.
            shares: Chooses the split by the query's text.
            writer: Takes the texts.
        """
        with writer.bad:
            self._write(record, where, shares, writer)

    def _write(self, record: dict[str, Any], where: str, shares: Shares, writer: DatasetWriter) -> None:
        query = field(record, self.query, where)
        id_ = identifier(field(record, self.query_id, where)) if self.query_id else id_of(str(query))
        split = shares.of_query(query)
        writer.query(split, id_, query, where=where)
        title = (field(record, self.title, where) or "") if self.title else ""
        given = identifier(field(record, self.document_id, where)) if self.document_id else None
        for document in write_documents(field(record, self.document, where), title, given, where, writer):
            writer.judge(split, id_, document, 1, where=where)
        if self.negative is not None:
            for document in write_documents(field(record, self.negative, where), "", None, where, writer):
                writer.hard_negative(split, id_, document, where=where)


def write_documents(value: Any, title: str, id_: str | None, where: str, writer: DatasetWriter) -> Iterable[str]:
    """Write the documents that a field holds.

    Args:
        value: A text, an object, or a list of either.
        title: The title of a mere text.
        id_: The id of a mere text; None makes one.
        where: The place, for errors.
        writer: Takes the documents.

    Returns:
        Their ids.

    Raises:
        UserError: When the field holds something else, or several texts share one id field.
    """
    if isinstance(value, list | tuple):
        if id_ is not None and len(value) != 1:
            raise UserError(f"{where}: one document id stands beside {len(value)} documents; leave document_id unset.")
        return [found for each in value for found in write_documents(each, title, id_, where, writer)]
    if isinstance(value, dict):
        text, title = given_text(field(value, "text", where)), given_text(value.get("title"))
        id_ = next((identifier(value[name]) for name in ID_FIELDS if value.get(name) is not None), None)
    else:
        text = value
    if id_ is None:
        id_ = id_of(f"{title}\n{text}" if title else str(text))
    writer.document(id_, text, title, where=where)
    return [id_]
