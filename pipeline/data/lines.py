"""Lines, JSON lines and tables of any size, plain or compressed; every complaint names file and line."""

import bz2
import codecs
import csv
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pipeline.errors import UserError, nearest
from pipeline.progress import progress

OPENERS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": bz2.open}
"""By the bytes that such a file begins with: mirrors pack files and leave their names, or unpack them and leave those."""
ENDINGS = (".gz", ".xz", ".bz2")
"""What the names of such files mostly end in."""
OTHERS = {
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard; unpack it with zstd -d",
    b"\x04\x22\x4d\x18": "compressed by LZ4; unpack it with lz4 -d, or save a run of ranx's as run.trec",
    b"\x1f\x9d": "compressed by compress; unpack it with gunzip",
    codecs.BOM_UTF16_LE: "in UTF-16; convert it with iconv -f UTF-16 -t UTF-8",
    codecs.BOM_UTF16_BE: "in UTF-16; convert it with iconv -f UTF-16 -t UTF-8",
    b"PK\x03\x04": "a zip archive; unpack it with unzip",
    b"PAR1": "a Parquet table; dataset=huggingface dataset.path=FILE reads pairs in such files",
}
"""What else files begin with, what they are then, and the cure."""
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)
"""What decompressors raise."""
BYTES_WORTH_PROGRESS = 1 << 26
LINES_BETWEEN_STEPS = 5000
LINES_TOLD = 3
COLUMN = re.compile(r"[^ \t\n\v\f\r]+")
"""A column of TREC's files: trec_eval knows the white space of ASCII alone, so that an id may hold a no-break space."""
EXACT = 1 << 53
"""Up to here a float is the one whole number that it stands for."""


class BadLines:
    """What is wrong with the lines of a file: all are counted and the first told, for one alone says little of the file.

    `with bad:` around the work on one line takes what it complains about, and the next line follows.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, UserError):
            return False
        self.add(error)
        return True

    def add(self, sentence: str | UserError) -> None:
        """Take what is wrong with a line."""
        self._count += 1
        if len(self._told) < LINES_TOLD:
            self._told.append(str(sentence))

    def refuse(self) -> None:
        """Refuse the file, if a line was bad.

        Raises:
            UserError: With the first sentences, and how many there are.
        """
        if self._count:
            before = f"{self._count:,} lines cannot be used, such as: " if self._count > 1 else ""
            raise UserError(f"{before}{' '.join(self._told)}")


def existing(path: Path | str | None, setting: str) -> Path:
    """Check that an input is there.

    Args:
        path: A file or folder, absolute or relative to the working folder.
        setting: The setting that names it, for the error.

    Raises:
        UserError: When no path is set, or nothing lies there.
    """
    if path is None:
        raise UserError(f"{setting} is not set; give it on the command line as {setting}=PATH.")
    path = Path(path).expanduser()
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, siblings) if 0 < len(siblings) < 30 else f"check {setting}."
        raise UserError(f"{path} ({setting}) does not exist; {hint}")
    return path


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, through gzip's, xz's or bzip2's decompressor where its first bytes ask for one.

    Raises:
        UserError: When the file is missing, a folder, or may not be read.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - whoever reads closes it
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; check the path.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder where a file is expected.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read; change its permissions.") from error
    beginning = file.peek(max(map(len, OPENERS)))
    for first_bytes, opener in OPENERS.items():
        if beginning.startswith(first_bytes):
            file.close()
            return opener(path, "rb")  # type: ignore[operator]
    return file


def packed_or_not(path: Path) -> Path | None:
    """Find a file under its name, or that name with the ending of a compressed one."""
    return next((each for end in ("", *ENDINGS) if (each := path.with_name(path.name + end)).is_file()), None)


def columns_of(line: str) -> list[str]:
    """Divide a line at white space, as trec_eval does."""
    return COLUMN.findall(line)


def beginning_of(path: Path, size: int) -> bytes:
    """Read the first bytes of a file, unpacked where it is packed.

    Raises:
        UserError: When it cannot be read that far.
    """
    with open_bytes(path) as file:
        try:
            return file.read(size)
        except DAMAGE as error:
            raise UserError(f"{path}: the compressed file is damaged ({error}); get it again.") from error


def unpacked(name: str) -> str:
    """Take the ending of a compressed file off its name."""
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


def undecodable(path: Path, where: str, encoding: str = "utf-8", cure: str = "") -> UserError:
    """Say what is wrong with a file whose bytes are not UTF-8, and what it is where its beginning tells.

    Args:
        path: The file.
        where: Which bytes, in words: `line 3: byte 9 of the line is`.
        encoding: What they should be.
        cure: What else can be done than converting the file.

    Raises:
        UserError: When the file is no text at all.
    """
    with open(path, "rb") as file:
        beginning = file.read(max(map(len, OTHERS)))
    what = next((what for first_bytes, what in OTHERS.items() if beginning.startswith(first_bytes)), None)
    if what:
        raise UserError(f"{path} is {what}.")
    return UserError(f"{path}, {where} not {encoding.upper()}; {cure or 'convert the file to UTF-8'}.")


def read_lines(path: Path, encoding: str = "utf-8", cure: str = "") -> Iterator[tuple[int, str]]:
    """Read the lines of a text file that are not blank, with progress where the file is large.

    Args:
        path: The file.
        encoding: One in which a line's end is one byte; a byte order mark is passed over.
        cure: What else to do about another encoding than converting the file, for the error.

    Yields:
        The number of the line, from 1, and the line without its end.

    Raises:
        UserError: When the file cannot be read; and, after the last good line, when others have another encoding: the
            sentence names file, lines and bytes.
    """
    path = Path(path)
    with open_bytes(path) as file:
        total = path.stat().st_size
        if total < BYTES_WORTH_PROGRESS:
            yield from _decoded(file, path, encoding, cure)
            return
        raw = getattr(file, "fileobj", None) or getattr(file, "_fp", None) or file
        said = 0
        with progress(f"Reading {path.name}", total, "bytes") as advance:
            for number, line in _decoded(file, path, encoding, cure):
                if number % LINES_BETWEEN_STEPS == 0:
                    now = raw.tell()
                    advance(now - said)
                    said = now
                yield number, line


def _decoded(file: IO[bytes], path: Path, encoding: str, cure: str) -> Iterator[tuple[int, str]]:
    number, bad = 0, BadLines()
    try:
        for number, line in enumerate(file, start=1):
            try:
                text = line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                where = f"line {number}: byte {error.start + 1} of the line is"
                bad.add(undecodable(path, where, encoding, cure) if len(bad) < LINES_TOLD else "")
                continue
            if text.strip():
                yield number, text
    except DAMAGE as error:
        raise UserError(
            f"{path}, after line {number}: the compressed file is damaged ({error}); get it again."
        ) from error
    bad.refuse()


def read_json_lines(path: Path, *names: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a file of one JSON object a line.

    Args:
        path: The file.
        *names: Fields that every object must have.

    Yields:
        The place of the object, for errors (`corpus.jsonl, line 3`), and the object.

    Raises:
        UserError: After the last good line, when others are no JSON object or lack a field.
    """
    bad = BadLines()
    for number, line in read_lines(path):
        where, record = f"{path}, line {number}", None
        with bad:
            record = _json_object(line, where)
            for name in names:
                field(record, name, where)
            yield where, record
    bad.refuse()


def read_whole_json(path: Path) -> Any:
    """Read a file that is one JSON value, compressed or plain, with or without a byte order mark.

    Raises:
        UserError: When the file cannot be read, is not UTF-8 or is not JSON; the sentence names file and line.
    """
    with open_bytes(path) as file:
        try:
            return json.loads(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise undecodable(path, f"byte {error.start + 1} is") from error
        except DAMAGE as error:
            raise UserError(f"{path}: the compressed file is damaged ({error}); get it again.") from error
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {error.lineno}: malformed JSON ({error.msg}); mend or replace the file."
            ) from error


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: malformed JSON ({error.msg}, column {error.colno}); mend the line.") from error
    if not isinstance(record, dict):
        raise UserError(f"{where}: a JSON object was expected and {line[:40]!r} found; mend the line.")
    return record


def read_table(
    path: Path, columns: str, *, header: bool = False, rest: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Read a file of tab-separated columns.

    Args:
        path: The file.
        columns: What the columns are, separated by spaces; the names tell how many there must be.
        header: Whether the first line may name the columns; it is skipped when its first or last name is as expected.
        rest: Whether the last column is a text that may hold tabs itself.

    Yields:
        The place of the row, for errors, and its columns.

    Raises:
        UserError: After the last good row, when others have another number of columns.
    """
    expected = columns.split()
    bad = BadLines()
    for number, line in read_lines(path):
        row = line.split("\t", len(expected) - 1 if rest else -1)
        if len(row) != len(expected) and '"' in line:
            row = next(csv.reader([line], delimiter="\t"))  # a cell in quotes may hold a tab
        if header and number == 1 and (row[0].strip() == expected[0] or row[-1].strip() == expected[-1]):
            names = [name.strip() for name in row]
            if names != expected and sorted(names) == sorted(expected):
                raise UserError(f"{path} has the columns {', '.join(names)}; put them as {', '.join(expected)}.")
            continue
        if len(row) == len(expected):
            yield f"{path}, line {number}", row
        else:
            bad.add(
                f"{path}, line {number}: {len(expected)} tab-separated columns ({', '.join(expected)}) were expected "
                f"and {len(row)} found; mend the line."
            )
    bad.refuse()


def field(record: dict[str, Any], name: str, where: str) -> Any:
    """Read a field of a JSON object or a row.

    Raises:
        UserError: When there is no such field; the sentence names those found.
    """
    try:
        return record[name]
    except KeyError as error:
        raise UserError(f"{where}: there is no field {name!r}; found are {', '.join(map(str, record))}.") from error


def identifier(value: Any) -> Any:
    """Read an id that JSON may give as a number, 7 and 7.0 being one; whatever else it is, the writer judges."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def given_text(value: Any) -> Any:
    """Read the text or the title of a document, where null says that there is none; the writer judges all else."""
    return "" if value is None else value
