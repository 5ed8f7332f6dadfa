"""Tables: the vectors of one tower over one list of texts, memory-mapped, whole or not trusted."""

from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.retrieval.blocks import check_blocks, checksum, read_blocks, read_description

ROWS_AT_ONCE = 8192


class Table:
    """The vectors of one tower over one list of texts.

    Args:
        vectors: float32 `[rows, dimension]`; memory-mapped and read-only where the table is on disk.
        key: Names everything that determines a vector.
        texts_fingerprint: The fingerprint of the texts, in whose order the rows are.
        folder: Where the table lies, or None for one that lives in memory alone.
        truncated: How many of the texts were cut to the tower's maximum length.
    """

    def __init__(
        self, vectors: np.ndarray, key: str, texts_fingerprint: str, folder: Path | None = None, truncated: int = 0
    ) -> None:
        self.vectors = vectors
        self.key = key
        self.texts_fingerprint = texts_fingerprint
        self.folder = folder
        self.truncated = truncated

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self.vectors.shape[1]

    @cached_property
    def largest_norm(self) -> float:
        """Length of the longest vector, in float64; computed when it is first asked for, block by block."""
        blocks = (self.vectors[start : start + ROWS_AT_ONCE] for start in range(0, len(self), ROWS_AT_ONCE))
        return max(float(np.linalg.norm(block.astype(np.float64), axis=1).max()) for block in blocks)

    @classmethod
    def from_array(cls, vectors: np.ndarray, texts_fingerprint: str = "") -> "Table":
        """Make a table of vectors in memory, such as synthetic ones.

        Args:
            vectors: Finite numbers `[rows, dimension]`.
            texts_fingerprint: The fingerprint of the texts they belong to, if any.

        Raises:
            UserError: When there is no vector or one is not finite.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or not len(vectors):
            raise UserError(
                f"A table needs vectors of shape [rows, dimension], at least one; these are {vectors.shape}."
            )
        unfit = first_not_finite(vectors)
        if unfit is not None:
            raise UserError(f"Vector {unfit} holds a number that is not finite; find out why before searching it.")
        return cls(vectors, checksum(vectors.data), texts_fingerprint)

    @classmethod
    def open(cls, folder: Path) -> "Table":
        """Open a finished table after checking every block of it.

        Raises:
            UserError: When the table is missing, unfinished or damaged; the sentence names the folder and the block.
        """
        description = read_description(folder)
        blocks = read_blocks(folder)
        if len(blocks) < description.blocks:
            raise UserError(
                f"The table {folder} is unfinished ({len(blocks)} of {description.blocks} blocks);"
                " run again what was making it."
            )
        check_blocks(folder, description, blocks)
        vectors = np.memmap(
            folder / "vectors.f32", dtype="<f4", mode="r", shape=(description.rows, description.dimension)
        )
        truncated = sum(block.truncated for block in blocks)
        return cls(vectors, description.key, description.made_from.get("texts", ""), folder, truncated)


def first_not_finite(vectors: np.ndarray) -> int | None:
    """The first row that holds NaN or infinity, or None."""
    finite = np.isfinite(vectors).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))
