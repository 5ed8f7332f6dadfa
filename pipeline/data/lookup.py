"""From ids to positions without holding the ids: sorted 64-bit hashes, verified against the ids themselves."""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

ReadIds = Callable[[np.ndarray], list[str]]
"""Gives the ids that stand at the given positions."""

PAIRS_AT_ONCE = 1 << 16


def hash_of(text: str, salt: bytes = b"") -> int:
    """Hash a text to 64 bits, the same on every machine and in every process.

    Args:
        text: An id, or the name of a group.
        salt: Keeps two uses of the hash of one text independent of each other (at most 16 bytes).
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, salt=salt).digest(), "little")


def id_of(text: str) -> str:
    """Make an id out of a text that has none: 20 hexadecimal digits, the same wherever the text stands."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=10).hexdigest()


def bare(id_: str) -> str:
    """Take off the `.0` with which data frames write numbers of a column that lacks some."""
    return id_.removesuffix(".0") if id_.removesuffix(".0").isdecimal() else id_


def other_spelling(id_: str) -> str:
    """Take off, or put behind, what data frames write after a number; of no meaning for ids that are none."""
    return bare(id_) if bare(id_) != id_ else f"{id_}.0"


def hashes_of(texts: Iterable[str]) -> np.ndarray:
    """Hash many ids.

    Returns:
        uint64 of shape [ids].
    """
    return np.fromiter((hash_of(text) for text in texts), dtype=np.uint64)


class Lookup:
    """Finds ids among millions by their sorted hashes, which may be memory-mapped.

    Args:
        hashes: uint64 [ids], ascending.
        order: int64 [ids]; `order[i]` is the position of the id whose hash is `hashes[i]`.
    """

    def __init__(self, hashes: np.ndarray, order: np.ndarray) -> None:
        self.hashes = hashes
        self.order = order

    @classmethod
    def of(cls, hashes: np.ndarray) -> "Lookup":
        """Sort the hashes of ids given in the order of their positions; ids of equal hash stay in that order."""
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order.astype(np.int64))

    def positions(self, ids: list[str], read_ids: ReadIds) -> np.ndarray:
        """Find where ids stand.

        Args:
            ids: What to look for.
            read_ids: Reads the true ids, so that two ids of one hash are never confused.

        Returns:
            int64 of shape [ids]; -1 where an id is unknown.
        """
        wanted = hashes_of(ids)
        found = np.full(len(ids), -1, dtype=np.int64)
        rows = np.searchsorted(self.hashes, wanted)
        open_ = np.arange(len(ids))
        while open_.size:
            inside = rows[open_] < len(self.hashes)
            open_ = open_[inside]
            open_ = open_[self.hashes[rows[open_]] == wanted[open_]]
            candidates = self.order[rows[open_]]
            same = np.array(
                [known == ids[i] for known, i in zip(read_ids(candidates), open_, strict=True)],
                dtype=bool,
            )
            found[open_[same]] = candidates[same]
            open_ = open_[~same]
            rows[open_] += 1
        return found

    def repeated(self, read_ids: ReadIds) -> np.ndarray:
        """Find the later occurrences of ids that occur more than once.

        Args:
            read_ids: Reads the true ids.

        Returns:
            int64 [repetitions, 2], each row the position of a repetition and that of the id's first occurrence.
        """
        same_as_previous = np.flatnonzero(self.hashes[1:] == self.hashes[:-1]) + 1
        is_first = np.ones(len(self.hashes), dtype=bool)
        is_first[same_as_previous] = False
        first_rows = np.maximum.accumulate(np.where(is_first, np.arange(len(self.hashes)), 0))[same_as_previous]
        pairs = np.stack([self.order[same_as_previous], self.order[first_rows]], axis=1)
        true = [
            known == first
            for start in range(0, len(pairs), PAIRS_AT_ONCE)
            for known, first in zip(*map(read_ids, pairs[start : start + PAIRS_AT_ONCE].T), strict=True)
        ]
        return pairs if all(true) else _untangled(pairs, np.array(true), read_ids)


def _untangled(pairs: np.ndarray, true: np.ndarray, read_ids: ReadIds) -> np.ndarray:
    """Find repetitions where different ids share a hash: compare the ids of those few hashes one by one."""
    tangled = np.isin(pairs[:, 1], pairs[~true, 1])
    positions = np.unique(pairs[tangled])
    first: dict[str, int] = {}
    found = []
    for known, position in zip(read_ids(positions), positions.tolist(), strict=True):
        if first.setdefault(known, position) != position:
            found.append((position, first[known]))
    return np.concatenate([pairs[~tangled], np.array(found, dtype=np.int64).reshape(-1, 2)])
