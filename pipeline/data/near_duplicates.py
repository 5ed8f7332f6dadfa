"""Finds texts that were copied with small changes, so that what is tested was not also trained on."""

import zlib

import numpy as np

SHINGLE_WORDS = 3
BANDS, ROWS = 8, 4
"""A pair of Jaccard similarity s is compared with probability 1 - (1 - s^4)^8: 0.985 at 0.8, 0.05 at 0.3."""

SIMILARITY = 0.8
"""Texts that share this part of their shingles are near-duplicates."""

_generator = np.random.Generator(np.random.PCG64(0))
MULTIPLIERS = _generator.integers(1, 1 << 63, size=BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
PLACES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)
"""One odd factor for each place in a shingle, so that the order of words counts."""


class NearDuplicates:
    """Remembers texts and says of a new one whether it nearly repeats one of them.

    MinHash over three-word shingles with banding (Broder, 1997, https://doi.org/10.1109/SEQUEN.1997.666900), checked by
    the Jaccard similarity of the shingles themselves. Deterministic: what is dropped depends on the order alone.
    """

    def __init__(self) -> None:
        self._shingles: list[np.ndarray] = []
        self._buckets: dict[tuple[int, bytes], list[int]] = {}
        self._words: dict[str, int] = {}

    def add(self, words: list[str]) -> bool:
        """Remember a text unless it nearly repeats one remembered before.

        Args:
            words: At least one word.

        Returns:
            Whether it was new.
        """
        shingles = self._hashes(words)
        bands = self._bands(shingles)
        candidates = {number for band in bands for number in self._buckets.get(band, ())}
        if any(_jaccard(shingles, self._shingles[number]) >= SIMILARITY for number in candidates):
            return False
        for band in bands:
            self._buckets.setdefault(band, []).append(len(self._shingles))
        self._shingles.append(shingles)
        return True

    def _hashes(self, words: list[str]) -> np.ndarray:
        """Hash the shingles of a text: uint64, ascending, each once."""
        hashed = np.array([self._word(word) for word in words], dtype=np.uint64)
        length = min(SHINGLE_WORDS, len(hashed))
        parts = [hashed[place : len(hashed) - length + 1 + place] * PLACES[place] for place in range(length)]
        mixed = np.sum(parts, axis=0, dtype=np.uint64)
        return np.unique(mixed ^ (mixed >> np.uint64(29)))

    def _word(self, word: str) -> int:
        if word not in self._words:
            self._words[word] = zlib.crc32(word.encode()) + 1
        return self._words[word]

    @staticmethod
    def _bands(shingles: np.ndarray) -> list[tuple[int, bytes]]:
        """Summarise shingles: the smallest of their images under each multiplier, in bands that must agree whole."""
        smallest = (shingles[:, None] * MULTIPLIERS[None, :]).min(axis=0).reshape(BANDS, ROWS)
        return [(number, band.tobytes()) for number, band in enumerate(smallest)]


def _jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Jaccard similarity of two ascending arrays without repetitions."""
    shared = np.intersect1d(left, right, assume_unique=True).size
    return shared / (len(left) + len(right) - shared)
