"""Tables: the vectors of one tower over one list of texts, memory-mapped, whole or not trusted."""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.retrieval.blocks import check_blocks, read_checksums, read_description


class Table:
    """The vectors of one tower over one list of texts.

    Args:
        vectors: float32 `[rows, dimension]`; memory-mapped and read-only where the table is on disk.
        key: Names everything that determines a vector.
        texts_fingerprint: The fingerprint of the texts, in whose order the rows are.
        folder: Where the table lies, or None for one that lives in memory alone.
    """

    def __init__(self, vectors: np.ndarray, key: str, texts_fingerprint: str, folder: Path | None = None) -> None:
        self.vectors = vectors
        self.key = key
        self.texts_fingerprint = texts_fingerprint
        self.folder = folder

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self.vectors.shape[1]

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
        return cls(vectors, hashlib.blake2b(vectors, digest_size=16).hexdigest(), texts_fingerprint)

    @classmethod
    def open(cls, folder: Path) -> "Table":
        """Open a finished table after checking every block of it.

        Raises:
            UserError: When the table is missing, unfinished or damaged; the sentence names the folder and the block.
        """
        description = read_description(folder)
        checksums = read_checksums(folder)
        if len(checksums) < description.blocks:
            raise UserError(
                f"The table {folder} is unfinished ({len(checksums)} of {description.blocks} blocks);"
                " run again what was making it."
            )
        check_blocks(folder, description, checksums)
        vectors = np.memmap(
            folder / "vectors.f32", dtype="<f4", mode="r", shape=(description.rows, description.dimension)
        )
        return cls(vectors, description.key, description.made_from.get("texts", ""), folder)


def first_not_finite(vectors: np.ndarray) -> int | None:
    """The first row that holds NaN or infinity, or None."""
    finite = np.isfinite(vectors).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))
