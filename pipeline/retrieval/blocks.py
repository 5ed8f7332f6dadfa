"""The blocks of a table on disk: where they lie, their checksums, and which of them are done.

A table's folder holds `table.json` (what it is made from), `vectors.f32` (raw little-endian float32, row by row) and
`blocks.txt` (one line a block, in their order: its checksum, and how many of its texts were cut to the tower's maximum
length). A block counts as done when its line is there, and its line is written after the block's bytes have reached the
disk; so a kill at any moment costs the block under way.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.files import digest_of, read_json

FORMAT = 1
CHECKSUM_BYTES = 16
LINE = re.compile(rb"([0-9a-f]{32}) (\d{9})\n")
LINE_BYTES = 2 * CHECKSUM_BYTES + 11
"""All lines are equally long, so that one which a kill cut off is known by its length."""


@dataclass(frozen=True)
class Description:
    """What a table is, known before its first vector.

    Args:
        rows: Number of vectors.
        dimension: Numbers in a vector.
        block_rows: Rows of a block, the unit of writing, checking and resuming.
        made_from: Everything that determines a vector: fingerprints of the tower and of the texts, the precision.
    """

    rows: int
    dimension: int
    block_rows: int
    made_from: dict[str, Any]

    @property
    def key(self) -> str:
        """The table's name in a store: the same for two tables exactly when their vectors are the same."""
        return digest_of({"format": FORMAT, "dimension": self.dimension, **self.made_from})[:32]

    @property
    def blocks(self) -> int:
        """Number of blocks; the last may be shorter than the others."""
        return -(-self.rows // self.block_rows)

    def rows_of(self, block: int) -> slice:
        """The rows of one block."""
        return slice(block * self.block_rows, min(self.rows, (block + 1) * self.block_rows))

    def bytes_before(self, block: int) -> int:
        """Where a block begins in the file of vectors."""
        return min(self.rows, block * self.block_rows) * self.dimension * 4


@dataclass(frozen=True)
class Block:
    """A finished block: the checksum of its bytes, and how many of its texts were cut."""

    checksum: str
    truncated: int

    @classmethod
    def of(cls, vectors: np.ndarray, truncated: int) -> "Block":
        """Describe a block of vectors, float32 `[rows, dimension]`."""
        return cls(checksum(vectors.data), truncated)

    @property
    def line(self) -> bytes:
        """Its line in `blocks.txt`."""
        return f"{self.checksum} {self.truncated:09d}\n".encode()


def checksum(content: bytes | memoryview) -> str:
    """The checksum of a block's bytes, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).hexdigest()


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a table with all its blocks; they are not checked here."""
    return (folder / "table.json").exists() and len(read_blocks(folder)) >= read_description(folder).blocks


def read_description(folder: Path) -> Description:
    """Read what a table is.

    Raises:
        UserError: When `table.json` is missing or is not one of ours.
    """
    found = read_json(folder / "table.json")
    try:
        return Description(**found)
    except TypeError as error:
        raise UserError(
            f"The table {folder} is damaged (its table.json); delete the folder to make it anew."
        ) from error


def read_blocks(folder: Path) -> list[Block]:
    """Read which blocks are finished; a line that a kill left half-written does not count.

    Raises:
        UserError: When a line is not one of ours.
    """
    path = folder / "blocks.txt"
    lines = path.read_bytes() if path.exists() else b""
    whole = [lines[start : start + LINE_BYTES] for start in range(0, len(lines) - LINE_BYTES + 1, LINE_BYTES)]
    matches = [LINE.fullmatch(line) for line in whole]
    if None in matches:
        raise UserError(
            f"The table {folder} is damaged (line {matches.index(None) + 1} of its blocks.txt); delete the folder to"
            " make it anew."
        )
    return [Block(match[1].decode(), int(match[2])) for match in matches if match]


def check_blocks(folder: Path, description: Description, blocks: list[Block]) -> None:
    """Compare every finished block with its checksum.

    Raises:
        UserError: Naming the first block whose bytes are not those that were written.
    """

    def is_whole(block: int) -> bool:
        begin, end = description.bytes_before(block), description.bytes_before(block + 1)
        return checksum(os.pread(vectors.fileno(), end - begin, begin)) == blocks[block].checksum

    try:
        # Hashing releases the interpreter's lock, so two threads keep a disk busy; blocks are small beside the memory.
        with open(folder / "vectors.f32", "rb") as vectors, ThreadPoolExecutor(2) as threads:
            whole = list(threads.map(is_whole, range(len(blocks))))
    except FileNotFoundError:
        whole = [False] * len(blocks)
    if not all(whole):
        raise UserError(
            f"The table {folder} is damaged (block {whole.index(False)} of {description.blocks} does not match its"
            " checksum); delete the folder to make it anew."
        )
