"""What a search answers: the best positions of every query, with their scores."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.texts import Texts
from pipeline.errors import UserError


@dataclass(frozen=True)
class Hits:
    """The best documents of several queries, best first.

    Args:
        positions: Places of the documents in the texts that were searched, int64 `[queries, depth]`; -1 where a query
            has no further result. Results come before missing ones.
        scores: Their scores, float32 `[queries, depth]`; minus infinity where there is no result.
    """

    positions: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def ordered(cls, positions: np.ndarray, scores: np.ndarray, precedence: np.ndarray | None = None) -> "Hits":
        """Sort every row: higher score first, equal scores by precedence, missing results last.

        Args:
            positions: Integer `[queries, depth]`, -1 where there is none.
            scores: Numbers `[queries, depth]`; what stands where the position is -1 is ignored.
            precedence: Which of equal scores comes first, int64 `[documents]` (`Texts.precedence`); None: the one of
                lower position.
        """
        scores = np.where(positions < 0, -np.inf, scores).astype(np.float32)
        ties = positions if precedence is None else precedence[positions]
        order = np.lexsort((ties, -scores), axis=-1)
        return cls(
            np.take_along_axis(positions, order, axis=1).astype(np.int64), np.take_along_axis(scores, order, axis=1)
        )

    def padded(self, depth: int) -> "Hits":
        """Widen to `depth` columns with missing results, for a search that was asked for more than there is."""
        missing = depth - self.positions.shape[1]
        if missing <= 0:
            return self
        return Hits(
            np.pad(self.positions, ((0, 0), (0, missing)), constant_values=-1),
            np.pad(self.scores, ((0, 0), (0, missing)), constant_values=-np.inf),
        )

    def cut(self, depth: int) -> "Hits":
        """Keep the best `depth` of every query."""
        return Hits(self.positions[:, :depth], self.scores[:, :depth])

    def without(self, unwanted: np.ndarray, empty: np.ndarray) -> "Hits":
        """Drop some documents of every query; later results move up and the depth stays.

        Args:
            unwanted: Positions of each query's unwanted documents, int64 `[queries, most of any query]`; -1 where there
                are fewer.
            empty: Positions of documents without text, which are no result of any query, int64.
        """
        drop = (self.positions < 0) | np.isin(self.positions, empty)
        for column in unwanted.T:
            drop |= self.positions == column[:, None]
        order = np.argsort(drop, axis=1, kind="stable")
        positions = np.take_along_axis(np.where(drop, -1, self.positions), order, axis=1)
        scores = np.take_along_axis(np.where(drop, np.float32(-np.inf), self.scores), order, axis=1)
        return Hits(positions, scores)


def reach(depth: int, unwanted: np.ndarray, documents: Texts) -> int:
    """Say how many results to search for, so that enough are left when unwanted ones are dropped.

    Args:
        depth: Results wanted of each query.
        unwanted: As of `Hits.without`.
        documents: What is searched.
    """
    most = int((unwanted >= 0).sum(axis=1).max(initial=0))
    return min(depth + most + len(documents.empty), len(documents))


def require_depth(depth: int, documents: int) -> None:
    """Refuse a depth that somebody asked for and that a corpus cannot fill.

    Raises:
        UserError: When the depth is not positive or exceeds the number of documents.
    """
    if not isinstance(depth, int):
        raise UserError(f"k is {depth}; it must be a whole number.")
    if depth < 1:
        raise UserError(f"k is {depth}; ask for at least 1 result a query.")
    if depth > documents:
        raise UserError(
            f"k is {depth:,} but the corpus has only {documents:,} documents; choose k up to {documents:,}."
        )
