"""A corpus without queries: plain lines or JSON lines, to pre-train on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.lines import BadLines, existing, read_json_lines, read_lines, unpacked
from pipeline.data.lookup import id_of
from pipeline.data.shares import Paths, paths
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

JSON_LINES = (".jsonl", ".ndjson", ".json")


class PlainText(Source):
    """Texts, one a line: as it stands, or an object in files that end in .jsonl (each may be compressed as well).

    All of them are the documents of the split `train`, which has no queries. Equal texts are one text.

    Args:
        path: One file or several.
        text: The field of the text, in JSON lines.
        title: The field of its title, which may be missing from a line; None: there are none.
        **settings: Those of every source.
    """

    first_stands = True

    def __init__(
        self,
        *,
        path: Paths = None,
        text: str = "text",
        title: str | None = "title",
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.files, self.text, self.title = paths(path), text, title
        super().__init__(name=name or (_plain_name(Path(self.files[0])) if self.files else None), **settings)

    def inputs(self) -> list[Path]:
        """Give the files."""
        if not self.files:
            existing(None, "dataset.path")
        return [existing(file, "dataset.path") for file in self.files]

    def write(self, writer: DatasetWriter) -> None:
        """Stream line by line; lines without text are left out and counted."""
        writer.split("train", searched=False)
        for path in self.inputs():
            for where, title, text in self._texts(path, writer.bad):
                if not f"{title}{text}".strip():
                    writer.count("empty_documents")
                    continue
                writer.document(id_of(f"{title}\n{text}" if title else text), text, title, where=where)

    def _texts(self, path: Path, bad: BadLines) -> Iterator[tuple[str, str, str]]:
        """Give place, title and text of every line."""
        if Path(unpacked(path.name)).suffix not in JSON_LINES:
            yield from ((f"{path}, line {number}", "", line) for number, line in read_lines(path))
            return
        for where, record in read_json_lines(path, self.text):
            with bad:
                text, title = record[self.text], (record.get(self.title) or "") if self.title else ""
                for name, value in ((self.text, text), (self.title, title)):
                    if not isinstance(value, str):
                        raise UserError(
                            f"{where}: the field {name!r} holds {value!r}, which is no text; mend the line."
                        )
                yield where, title, text


def _plain_name(path: Path) -> str:
    """Name a dataset by its first file: `wiki.jsonl.xz` is called `wiki`."""
    return Path(unpacked(path.name)).stem
