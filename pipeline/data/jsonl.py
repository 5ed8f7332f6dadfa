"""Pairs or triples, one JSON object a line, with fields of any name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.lines import read_json_lines
from pipeline.data.records import Fields
from pipeline.data.shares import Paths, SplitFiles
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter


class JsonLines(Source):
    """JSON lines such as `{"question": …, "answer": …}`, optionally with hard negatives.

    Args:
        path: One file or several, shared out by `split`.
        train_path: Training files; a share of their queries validates when there is no `validation_path`.
        validation_path: Validation files.
        test_path: Test files.
        query: The field of the query.
        document: The field of the relevant document, or of several in a list.
        negative: The field of the hard negatives; None: there are none.
        title: The field of the document's title; None: it has none.
        query_id: The field of the query's id; None: equal queries are one query.
        document_id: The field of the document's id; None: equal documents are one document.
        split: Shares of the queries of `path`.
        validation_share: The share of training queries held out for validation.
        **settings: Those of every source.
    """

    first_stands = True

    def __init__(
        self,
        *,
        path: Paths = None,
        train_path: Paths = None,
        validation_path: Paths = None,
        test_path: Paths = None,
        query: str = "query",
        document: str = "document",
        negative: str | None = None,
        title: str | None = None,
        query_id: str | None = None,
        document_id: str | None = None,
        split: Mapping[str, float] | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.files = SplitFiles(path, train_path, validation_path, test_path, split, validation_share)
        self.fields = Fields(query, document, negative, title, query_id, document_id)
        super().__init__(name=name or self.files.name(), **settings)

    def inputs(self) -> list[Path]:
        """Give the files."""
        return [path for path, _ in self.files]

    def write(self, writer: DatasetWriter) -> None:
        """Stream line by line."""
        self.files.announce(writer)
        for path, shares in self.files:
            for where, record in read_json_lines(path):
                self.fields.write(record, where, shares, writer)
