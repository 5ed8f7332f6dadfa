"""The contract of every index over a table of document vectors."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.table import Table, first_not_finite


class Index(ABC):
    """Finds the documents whose vectors have the largest inner products with a query's.

    An index is configured first and gets its vectors later, through `prepare`, so that one configuration serves any
    table.
    """

    name: str
    """What the index is, in a few words, for reports."""

    @abstractmethod
    def build(self, table: Table) -> None:
        """Make the index over a table's vectors.

        Raises:
            UserError: When the table cannot be indexed this way; the sentence says what would do.
        """

    @property
    def exact(self) -> bool:
        """Whether it finds what comparing every query with every document would find."""
        return False

    def identity(self, k: int) -> dict[str, Any] | None:
        """What decides its first k answers beside the vectors, so that they can be kept; None: they are not kept."""
        return None

    def parameters(self, k: int) -> dict[str, int]:
        """How hard an approximate search for k results looks, by the names of its parameters."""
        return {}

    def shortcomings(self, k: int) -> list[str]:
        """What about its settings or its making lets a search for k results miss more than it need: sentences."""
        return []

    def require(self, documents: int, dimension: int) -> None:  # noqa: B027
        """Refuse, before anything is encoded, what could not be built.

        Args:
            documents: How many vectors will come.
            dimension: Numbers in each.

        Raises:
            UserError: When the index cannot be made of them.
        """

    def prepare(self, table: Table, store: Path) -> None:
        """Build the index, or open what an earlier run has built over the same table where that saves time.

        Args:
            table: The documents' vectors.
            store: The folder shared between runs.
        """
        self.build(table)

    def save(self, folder: Path) -> None:  # noqa: B027
        """Write what the index holds beside the table's vectors; for exact search over the table that is nothing."""

    def search(self, queries: np.ndarray, k: int, precedence: np.ndarray | None = None) -> Hits:
        """Find the best documents of every query.

        Args:
            queries: Finite float32 `[queries, dimension]`.
            k: Results wanted; where there are fewer documents, the rest is padded with -1 and minus infinity.
            precedence: Which of equal scores comes first, int64 `[documents]` (`Texts.precedence`): so a search for
                few results begins as one for many does. None: the document of lower position.

        Returns:
            Hits of depth `k`: higher score first, equal scores by precedence.

        Raises:
            UserError: When `k` is not positive, or a query's vector is not finite or has another dimension than the
                documents'.
        """
        if k < 1:
            raise UserError(f"k is {k}; ask for at least 1 result a query.")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.table.dimension:
            raise UserError(
                f"The queries have shape {queries.shape} but the documents' vectors have {self.table.dimension}"
                " dimensions; encode both with towers that fit together."
            )
        unfit = first_not_finite(queries)
        if unfit is not None:
            raise UserError(f"The vector of query {unfit} is not finite; look for NaN in the query tower's weights.")
        return self._search(queries, min(k, len(self.table)), precedence).padded(k)

    @property
    def table(self) -> Table:
        """The table that the index was built over."""
        if self._table is None:
            raise RuntimeError(f"{type(self).__name__} was asked before build().")
        return self._table

    _table: Table | None = None

    @abstractmethod
    def _search(self, queries: np.ndarray, k: int, precedence: np.ndarray | None) -> Hits:
        """Search with checked vectors and a `k` that the table can fill."""
