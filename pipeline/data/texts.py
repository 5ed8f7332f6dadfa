"""An ordered list of texts with ids that may be far larger than memory."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.data.text_file import TextFile, in_memory

IDS_AT_ONCE = 1 << 18
"""Read together where all ids are needed: bounds the memory beside them."""

Positions = Sequence[int] | np.ndarray | slice
"""Which texts: numbers from 0, in any order, or a slice."""


class Texts:
    """Texts with ids and optional titles, read through memory mapping, and views of them.

    Args:
        file: The rows.
        chosen: int64; which rows, in which order, when this is a view. None: all.

    Attributes:
        fingerprint: SHA-256 over ids, titles and texts in order (of a view: over its file's and the chosen rows).
    """

    def __init__(self, file: TextFile, chosen: np.ndarray | None = None) -> None:
        self._file = file
        self._chosen = chosen
        self.fingerprint = file.fingerprint
        if chosen is not None:
            self.fingerprint = hashlib.sha256(file.fingerprint.encode() + chosen.astype("<i8").tobytes()).hexdigest()

    @classmethod
    def open(cls, folder: Path) -> "Texts":
        """Open texts on disk."""
        return cls(TextFile.open(folder))

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> "Texts":
        """Hold a few (id, text) pairs in memory.

        Raises:
            UserError: When an id occurs twice.
        """
        return cls(in_memory([(id_, "", text) for id_, text in pairs]))

    def __len__(self) -> int:
        return len(self._file) if self._chosen is None else len(self._chosen)

    def _rows(self, positions: Positions | None) -> np.ndarray:
        """Translate positions in this view to rows of the file."""
        if positions is None or isinstance(positions, slice):
            positions = np.arange(len(self), dtype=np.int64)[positions if positions is not None else slice(None)]
        rows = np.asarray(positions, dtype=np.int64)
        if self._chosen is None:
            return rows
        if rows.size and rows.min() < 0:
            raise IndexError(f"Position {rows.min()} is negative.")
        return self._chosen[rows]

    def ids(self, positions: Positions | None = None) -> list[str]:
        """Read ids; all of them unless positions are given (of a huge corpus, ask for few at a time)."""
        return self._file.ids(self._rows(positions))

    def titles(self, positions: Positions | None = None) -> list[str]:
        """Read titles; a text without one has the empty string."""
        return self._file.columns(self._rows(positions), ["title"])[0]

    def take(self, positions: Positions, separator: str = " ") -> list[str]:
        """Read texts, each after its title.

        Args:
            positions: Which, in any order.
            separator: What stands between a title and its text.

        Returns:
            `title<separator>text`, or the one of them that there is.

        Raises:
            IndexError: When a position lies outside the list.
        """
        titles, texts = self._file.columns(self._rows(positions), ["title", "text"])
        return [
            f"{title}{separator}{text}" if title and text else title or text
            for title, text in zip(titles, texts, strict=True)
        ]

    def lengths(self) -> np.ndarray:
        """Give the length of every text in characters, title and one separator included: int32 [texts]."""
        return self._file.lengths if self._chosen is None else self._file.lengths[self._chosen]

    @cached_property
    def empty(self) -> np.ndarray:
        """Positions of those without title and text, int64, ascending: BM25 cannot find them, and vectors shall not."""
        return np.flatnonzero(self.lengths() == 0)

    def positions(self, ids: Iterable[str]) -> np.ndarray:
        """Find where ids stand.

        Returns:
            int64 of shape [ids]; -1 where an id is not among these texts.
        """
        rows = self._file.lookup.positions(list(ids), self._file.ids)
        if self._chosen is None:
            return rows
        sorted_rows, order = self._inverse
        if not len(sorted_rows):
            return np.full_like(rows, -1)
        places = np.minimum(np.searchsorted(sorted_rows, rows), len(sorted_rows) - 1)
        return np.where(sorted_rows[places] == rows, order[places], -1)

    @cached_property
    def _inverse(self) -> tuple[np.ndarray, np.ndarray]:
        """From rows of the file to positions in this view: the rows sorted, and where each stands."""
        assert self._chosen is not None
        order = np.argsort(self._chosen, kind="stable")
        return self._chosen[order], order

    @cached_property
    def precedence(self) -> np.ndarray:
        """Which of several equally good texts comes first, as trec_eval has it: by id, descending (see `Ranking.of`).

        Returns:
            int64 [texts]: a text goes before those whose number is higher. Takes all ids to make, once.
        """
        ids = np.empty(len(self), dtype=np.dtypes.StringDType())
        for start in range(0, len(self), IDS_AT_ONCE):
            ids[start : start + IDS_AT_ONCE] = self.ids(slice(start, start + IDS_AT_ONCE))
        descending = np.argsort(ids, kind="stable")[::-1]
        numbers = np.empty(len(self), dtype=np.int64)
        numbers[descending] = np.arange(len(self))
        return numbers

    def hash_order(self) -> np.ndarray:
        """Order the positions of the whole file by the hashes of their ids: a shuffle that no file order changes.

        Returns:
            int64 [texts], memory-mapped where the texts are. Only of texts that are no view.
        """
        assert self._chosen is None, "a view has no order of its own"
        return self._file.lookup.order

    def select(self, positions: np.ndarray) -> "Texts":
        """Make a view of some texts, in the given order; nothing is copied but the positions.

        Args:
            positions: int64; choosing everything in order gives the texts themselves, fingerprint and all.
        """
        rows = np.ascontiguousarray(self._rows(positions))
        if len(rows) == len(self._file) and np.array_equal(rows, np.arange(len(rows))):
            return Texts(self._file)
        return Texts(self._file, rows)
