"""Writing a table block by block, so that a kill costs one block at most."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.files import disk_errors, write_json
from pipeline.retrieval.blocks import LINE_BYTES, Block, Description, check_blocks, read_blocks, read_description


class TableWriter:
    """Writes a table block by block, continuing after the blocks that an earlier process finished.

    Args:
        folder: The table's folder; made when missing. Its caller holds the lock.
        description: What the table will be.

    Attributes:
        finished: Number of blocks that are done.

    Raises:
        UserError: When the folder holds a damaged table, or the disk is full.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder = folder
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / "table.json").exists():
                description = read_description(folder)
            else:
                write_json(folder / "table.json", asdict(description))
        self.description = description
        blocks = read_blocks(folder)
        check_blocks(folder, description, blocks)
        self.finished = len(blocks)
        with disk_errors(folder):
            self._cut("vectors.f32", description.bytes_before(self.finished))
            self._cut("blocks.txt", self.finished * LINE_BYTES)

    def append(self, vectors: np.ndarray, truncated: int = 0) -> None:
        """Write the next block: its bytes to the disk first, then its checksum.

        Args:
            vectors: Finite float32 `[rows of the block, dimension]`.
            truncated: How many of its texts were cut to the maximum length.

        Raises:
            UserError: When the disk is full; the finished blocks stay.
        """
        rows = self.description.rows_of(self.finished)
        expected = (rows.stop - rows.start, self.description.dimension)
        if vectors.shape != expected:
            raise ValueError(f"Block {self.finished} has shape {vectors.shape}, expected {expected}.")
        vectors = np.ascontiguousarray(vectors, dtype="<f4")
        with disk_errors(self.folder):
            self._write("vectors.f32", self.description.bytes_before(self.finished), vectors.data.cast("B"))
            self._write("blocks.txt", self.finished * LINE_BYTES, Block.of(vectors, truncated).line)
        self.finished += 1

    def _cut(self, name: str, length: int) -> None:
        """Remove what a kill left half-written after the finished blocks."""
        with open(self.folder / name, "ab") as file:
            file.truncate(length)

    def _write(self, name: str, begin: int, content: memoryview | bytes) -> None:
        """Write bytes at a place and wait until they are on the disk."""
        # Plain writes, never through a memory map: on a full disk a map dies of SIGBUS where a write says so.
        with open(self.folder / name, "r+b", buffering=0) as file:
            file.seek(begin)
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
