"""The objects of a JSON array of any size, or of JSON lines, one at a time."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.lines import DAMAGE, beginning_of, open_bytes, read_json_lines, undecodable
from pipeline.errors import UserError
from pipeline.progress import progress

BYTES_AT_ONCE = 1 << 20
SPACE = re.compile(r"[\s,]*")


def read_json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the objects of a file that is one JSON array, or has one object a line, as its first character tells.

    Yields:
        The place of an object, for errors, and the object.

    Raises:
        UserError: When the file is in neither layout.
    """
    first = beginning_of(path, BYTES_AT_ONCE).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return read_json_lines(path) if first == b"{" else read_json_array(path)


def read_json_array(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the objects of a file that is one JSON array, compressed or not; only one object is held.

    Yields:
        The place of an object, for errors (`train.json, entry 3`), and the object.

    Raises:
        UserError: When the file is not UTF-8, not JSON, no array, or holds something else than objects.
    """
    text = _Text(path)
    decoder = json.JSONDecoder()
    with progress(f"Reading {path.name}", text.total, "bytes") as advance:
        text.skip(SPACE)
        if not text.buffer.startswith("["):
            raise UserError(f"{path}, line 1: a JSON array was expected; the file is in another layout.")
        text.drop(1)
        number = 0
        while True:
            advance(text.progressed())
            text.skip(SPACE)
            if text.buffer.startswith("]"):
                return
            number += 1
            record = text.value(decoder)
            if not isinstance(record, dict):
                raise UserError(f"{path}, entry {number}: an object was expected and {record!r:.40} found.")
            yield f"{path}, entry {number}", record


class _Text:
    """The part of a file that is being looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_bytes(path)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._line = 1
        self._said = 0
        self._ended = False
        self.total = path.stat().st_size
        self.buffer = ""

    def more(self, how_much: int = BYTES_AT_ONCE) -> bool:
        """Read on; tells whether there was anything."""
        if self._ended:
            return False
        try:
            read = self._file.read(how_much)
            self._ended = not read
            self.buffer += self._decoder.decode(read, final=not read)
        except UnicodeDecodeError as error:
            line = self._line + self.buffer.count("\n") + error.object[: error.start].count(b"\n")
            raise undecodable(self._path, f"line {line}: bytes that are") from error
        except DAMAGE as error:
            raise UserError(f"{self._path}: the compressed file is damaged ({error}); get it again.") from error
        return not self._ended

    def drop(self, length: int) -> None:
        """Forget the beginning."""
        self._line += self.buffer.count("\n", 0, length)
        self.buffer = self.buffer[length:]

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Forget what the pattern matches at the beginning; afterwards there is something left.

        Raises:
            UserError: When the file ends here.
        """
        while True:
            match = pattern.match(self.buffer)
            self.drop(match.end() if match else 0)
            if self.buffer:
                return
            if not self.more():
                raise UserError(f"{self._path}, line {self._line}: the file ends inside its array; get it again.")

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Read the value at the beginning.

        Raises:
            UserError: When it is malformed.
        """
        while True:
            try:
                value, end = decoder.raw_decode(self.buffer)
            except json.JSONDecodeError as error:
                # An object cut by the end of the buffer looks malformed until the rest is read; read twice as much.
                if self.more(max(BYTES_AT_ONCE, len(self.buffer))):
                    continue
                line = self._line + error.lineno - 1
                raise UserError(f"{self._path}, line {line}: malformed JSON ({error.msg}); mend the file.") from error
            if end == len(self.buffer) and self.more():
                continue
            self.drop(end)
            return value

    def progressed(self) -> int:
        """Give how many bytes of the file, compressed as it is, were read since the last call."""
        raw = getattr(self._file, "fileobj", None) or getattr(self._file, "_fp", None) or self._file
        before, self._said = self._said, raw.tell()
        return self._said - before
