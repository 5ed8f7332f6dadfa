"""Lists one after the other, read as one, without copying them: they may be far larger than memory."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from pipeline.data.texts import Texts


class Sized(Protocol):
    """Anything that has a length."""

    def __len__(self) -> int: ...


Part = TypeVar("Part", bound=Sized)


class Joined(Generic[Part]):
    """Lists one after the other.

    Args:
        parts: One or more.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])
        """Where each part begins; the last number is the length of all."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def by_part(self, positions: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
        """Say which rows of which part positions mean, and which places among the positions these are."""
        owners = np.searchsorted(self.starts, positions, side="right") - 1
        for number in np.unique(owners):
            places = np.flatnonzero(owners == number)
            yield self.parts[number], positions[places] - self.starts[number], places


class JoinedTexts(Joined[Texts]):
    """Texts one after the other; their ids may repeat from part to part, so they are known by position only."""

    def take(self, positions: np.ndarray, separator: str = " ") -> list[str]:
        """Read texts, each after its title; as `Texts.take`."""
        taken = np.empty(len(positions), dtype=object)
        for part, rows, places in self.by_part(positions):
            taken[places] = part.take(rows, separator)
        return list(taken)


class JoinedVectors(Joined[np.ndarray]):
    """Vectors one after the other, such as those of several tables."""

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Read vectors, float32 [positions, dimension]."""
        taken = np.empty((len(positions), self.parts[0].shape[1]), dtype=np.float32)
        for part, rows, places in self.by_part(positions):
            taken[places] = part[rows]
        return taken
