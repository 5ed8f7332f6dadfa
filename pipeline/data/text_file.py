"""Ids, titles and texts in one Arrow file, written as a stream and read through memory mapping."""

import hashlib
import shutil
from array import array
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.lookup import Lookup, hash_of
from pipeline.errors import UserError
from pipeline.files import disk_errors, read_json, write_json

SCHEMA = pa.schema([("id", pa.string()), ("title", pa.string()), ("text", pa.string())])
ROWS_IN_BATCH = 2048
CHARACTERS_IN_BATCH = 1 << 24
"""A batch is written when either is reached: small enough to stay far below Arrow's 2 GB for one column."""


class TextFile:
    """Rows of (id, title, text), opened from a folder or held in memory.

    Args:
        batches: The Arrow reader of the rows.
        starts: int64 [batches + 1], the position of each batch's first row, and the number of rows.
        lookup: Finds ids.
        lengths: int32 [rows], characters of title and text together.
        fingerprint: SHA-256 over ids, titles and texts in order, in hexadecimal.
        folder: Where the rows lie; None in memory.
    """

    def __init__(
        self,
        batches: "pa.ipc.RecordBatchFileReader",
        starts: np.ndarray,
        lookup: Lookup,
        lengths: np.ndarray,
        fingerprint: str,
        folder: Path | None,
    ) -> None:
        self._batches = batches
        self._starts = starts
        self.lookup = lookup
        self.lengths = lengths
        self.fingerprint = fingerprint
        self._folder = folder

    @classmethod
    def open(cls, folder: Path) -> "TextFile":
        """Map the rows of a folder that `TextFileWriter` wrote; nothing is read yet."""
        folder = Path(folder)
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("starts", "hashes", "order", "lengths")
        }
        return cls(
            pa.ipc.open_file(pa.memory_map(str(folder / "texts.arrow"))),
            arrays["starts"],
            Lookup(arrays["hashes"], arrays["order"]),
            arrays["lengths"],
            read_json(folder / "texts.json")["fingerprint"],
            folder,
        )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path; rows in memory travel whole."""
        if self._folder is not None:
            return TextFile.open, (self._folder,)
        rows = zip(*self.columns(np.arange(len(self)), ["id", "title", "text"]), strict=True)
        return in_memory, (list(rows),)

    def columns(self, positions: np.ndarray, names: list[str]) -> list[list[str]]:
        """Read columns of the rows at the given positions, touching each batch once.

        Args:
            positions: int64 [rows], in any order, repeated or not.
            names: Which of `id`, `title` and `text`.

        Returns:
            One list for each name, in the order of the positions.

        Raises:
            IndexError: When a position lies outside the file.
        """
        positions = np.asarray(positions, dtype=np.int64)
        if positions.size and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(
                f"Positions {positions.min()} to {positions.max()} do not all lie in 0 to {len(self) - 1}."
            )
        if positions.size > 1 and np.any(np.diff(positions) < 0):
            order = np.argsort(positions, kind="stable")
            return [_scattered(column, order) for column in self._ascending(positions[order], names)]
        return self._ascending(positions, names)

    def _ascending(self, positions: np.ndarray, names: list[str]) -> list[list[str]]:
        """Read rows whose positions ascend."""
        found: list[list[str]] = [[] for _ in names]
        if not positions.size:
            return found
        batch_of = np.searchsorted(self._starts, positions, side="right") - 1
        numbers, firsts = np.unique(batch_of, return_index=True)
        for number, inside in zip(numbers.tolist(), np.split(positions, firsts[1:]), strict=True):
            batch = self._batches.get_batch(number)
            rows = pa.array(inside - self._starts[number])
            for column, name in zip(found, names, strict=True):
                column.extend(batch.column(name).take(rows).to_pylist())
        return found

    def ids(self, positions: np.ndarray) -> list[str]:
        """Read the ids at the given positions."""
        return self.columns(positions, ["id"])[0]

    def moved(self, folder: Path) -> "TextFile":
        """Rename the folder of these rows, and open them there."""
        assert self._folder is not None
        self._folder.rename(folder)
        return TextFile.open(folder)

    def remove(self) -> None:
        """Delete the rows from the disk."""
        assert self._folder is not None
        shutil.rmtree(self._folder)


def _scattered(values: list[str], order: np.ndarray) -> list[str]:
    """Put sorted values back into the order that was asked for."""
    scattered = np.empty(len(values), dtype=object)
    scattered[order] = values
    return scattered.tolist()


class TextFileWriter:
    """Writes rows as they come; only one batch and eight bytes for each id are held.

    Args:
        folder: Where the file and its index go; None keeps the rows in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._sink = pa.BufferOutputStream() if folder is None else pa.OSFile(str(folder / "texts.arrow"), "wb")
        self._file = pa.ipc.new_file(self._sink, SCHEMA)
        self._rows: list[tuple[str, str, str]] = []
        self._waiting = 0
        self._starts = array("q", [0])
        self._hashes = array("Q")
        self._lengths = array("i")
        self._digest = hashlib.sha256()

    def __enter__(self) -> "TextFileWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._sink.close()

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, id_: str, title: str, text: str) -> None:
        """Append one row."""
        self._rows.append((id_, title, text))
        self._hashes.append(hash_of(id_))
        self._lengths.append(len(title) + len(text) + (1 if title else 0))
        self._waiting += len(title) + len(text)
        if len(self._rows) >= ROWS_IN_BATCH or self._waiting >= CHARACTERS_IN_BATCH:
            self._flush()

    def _flush(self) -> None:
        """Write the waiting rows as one batch and add them to the fingerprint."""
        if not self._rows:
            return
        # Lengths before the strings make the fingerprint's bytes readable in one way only.
        self._digest.update(
            "".join(f"{len(i)} {len(title)} {len(text)} {i}{title}{text}" for i, title, text in self._rows).encode()
        )
        columns = [pa.array(column, pa.string()) for column in zip(*self._rows, strict=True)]
        self._file.write_batch(pa.record_batch(columns, schema=SCHEMA))
        self._starts.append(len(self))
        self._rows, self._waiting = [], 0

    def close(self) -> TextFile:
        """Write what is left, and the index; open the result."""
        with disk_errors(self._folder or Path("memory")):
            self._flush()
            self._file.close()
            starts = np.array(self._starts, dtype=np.int64)
            lookup = Lookup.of(np.array(self._hashes, dtype=np.uint64))
            lengths = np.array(self._lengths, dtype=np.int32)
            fingerprint = self._digest.hexdigest()
            if self._folder is None:
                reader = pa.ipc.open_file(self._sink.getvalue())
                return TextFile(reader, starts, lookup, lengths, fingerprint, None)
            self._sink.close()
            arrays = {"starts": starts, "hashes": lookup.hashes, "order": lookup.order, "lengths": lengths}
            for name, values in arrays.items():
                np.save(self._folder / f"{name}.npy", values)
            write_json(self._folder / "texts.json", {"rows": len(lengths), "fingerprint": fingerprint})
        return TextFile.open(self._folder)


def in_memory(rows: list[tuple[str, str, str]]) -> TextFile:
    """Hold a few rows in memory.

    Args:
        rows: (id, title, text).

    Raises:
        UserError: When an id occurs twice.
    """
    with TextFileWriter(None) as writer:
        for row in rows:
            writer.add(*row)
        file = writer.close()
    repeated = file.lookup.repeated(file.ids)
    if repeated.size:
        raise UserError(f"The id {file.ids(repeated[:1, 0])[0]!r} occurs twice in the texts; ids must be unique.")
    return file
