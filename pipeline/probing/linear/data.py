"""The rows of a linear probe with the states of their texts, in memory: some layers at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.probing.layer_states import LayerStates
from pipeline.probing.linear.rows import CandidateRows


@dataclass(frozen=True)
class RowData:
    """Rows, and the states of their texts in some layers.

    Attributes:
        queries: States of the questions, float32 [layers, questions, width].
        documents: States of the documents, float32 [layers, documents, width].
        query_of: The question of each row, [rows].
        document_of: The candidates of each row, the positive first, [rows, most].
        orders: By N: which columns of `document_of` are shown, in which order, [rows, N].
        control: By N: which of the columns shown is right in the control task, [rows].
        pool: How many of the columns after the first hold negatives to draw from, [rows]; see `drawn`. None: `orders`
            stand for good.
    """

    queries: Tensor
    documents: Tensor
    query_of: Tensor
    document_of: Tensor
    orders: Mapping[int, Tensor]
    control: Mapping[int, Tensor]
    pool: Tensor | None = None
    _computed: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query_of)

    @property
    def most(self) -> int:
        """The largest N."""
        return max(self.orders)

    def drawn(self, candidates: Iterable[int], seed: Sequence[int]) -> "RowData":
        """Give the rows as one epoch shows them: where there is a pool, negatives and order are drawn from it.

        Args:
            candidates: The numbers of candidates N, each drawn by itself.
            seed: Of the draws; an epoch's own.
        """
        if self.pool is None:
            return self
        sizes = self.pool.cpu().numpy()
        columns, orders, first = [np.zeros((len(self), 1), dtype=np.int64)], {}, 1
        for n in candidates:
            generator = np.random.default_rng([*seed, n])
            columns.append(1 + drawn_below(sizes, n - 1, generator))
            shown = np.tile(np.concatenate([[0], np.arange(first, first + n - 1)]), (len(self), 1))
            orders[n] = torch.from_numpy(generator.permuted(shown, axis=1)).to(self.query_of.device)
            first += n - 1
        taken = torch.from_numpy(np.concatenate(columns, axis=1)).to(self.query_of.device)
        rows = RowData(self.queries, self.documents, self.query_of, self.document_of.gather(1, taken), orders, {})
        return rows.subset(torch.arange(len(self)))  # without the texts that this epoch does not show

    def shown(self, candidates: int) -> Tensor:
        """Give the documents of every row as they are shown, [rows, N]."""
        return self.document_of.gather(1, self.orders[candidates])

    def columns(self, candidates: int) -> Tensor:
        """Give which columns of `document_of` are shown, in which order, then -1: [rows, most]."""
        order = self.orders[candidates]
        return self.computed(
            f"columns {candidates}",
            lambda data: functional.pad(order, (0, data.most - candidates), value=-1),
        )

    def right_place(self, candidates: int, control: bool) -> Tensor:
        """Give the place of the right candidate among those shown, [rows]: the positive, or the control task's."""

        def place(data: RowData) -> Tensor:
            right = self.control[candidates] if control else torch.zeros_like(self.query_of)
            return (self.orders[candidates] == right[:, None]).int().argmax(dim=1)

        return self.computed(f"place {candidates} {control}", place)

    def computed(self, name: str, compute: Callable[["RowData"], Tensor]) -> Tensor:
        """Keep what depends on the states alone: it is asked for in every step."""
        if name not in self._computed:
            self._computed[name] = compute(self)
        return self._computed[name]

    def subset(self, rows: Tensor | np.ndarray) -> "RowData":
        """Give some rows, with the states of their texts alone."""
        rows = torch.as_tensor(rows, device=self.query_of.device)
        questions, query_of = torch.unique(self.query_of[rows], return_inverse=True)
        documents, document_of = torch.unique(self.document_of[rows], return_inverse=True)
        return RowData(
            self.queries[:, questions],
            self.documents[:, documents],
            query_of,
            document_of,
            {n: order[rows] for n, order in self.orders.items()},
            {n: right[rows] for n, right in self.control.items()},
            None if self.pool is None else self.pool[rows],
        )

    def with_queries(self, query_of: Tensor) -> "RowData":
        """Give the same rows with other questions."""
        return replace(self, query_of=query_of, _computed={})

    def scaled(self, scaling: "Scaling") -> "RowData":
        """Give the same rows with standardised states."""
        queries = (self.queries - scaling.query_mean) * scaling.query_factor
        documents = (self.documents - scaling.document_mean) * scaling.document_factor
        return replace(self, queries=queries, documents=documents, _computed={})

    def slices(self, size: int) -> Iterator["RowData"]:
        """Give all rows in their order, so many at a time."""
        if size >= len(self):
            yield self
            return
        for start in range(0, len(self), size):
            yield self.subset(torch.arange(start, min(start + size, len(self))))

    def batches(self, size: int, seed: int, epoch: int) -> Iterator["RowData"]:
        """Give all rows in batches, shuffled anew in every epoch; all at once where they fit."""
        if size >= len(self):
            yield self
            return
        shuffled = np.random.default_rng([seed, epoch]).permutation(len(self))
        for start in range(0, len(self), size):
            yield self.subset(np.sort(shuffled[start : start + size]))


@dataclass(frozen=True)
class Scaling:
    """What standardises states: computed on training texts, used on all; each [layers, 1, width]."""

    query_mean: Tensor
    query_factor: Tensor
    document_mean: Tensor
    document_factor: Tensor

    @classmethod
    def of(cls, training: RowData) -> "Scaling":
        """Bring every coordinate to mean 0 and variance 1 / width, so that a state has about length 1.

        One learning rate then suits probes of all widths. A coordinate that never changes becomes 0.
        """
        return cls(*_mean_and_factor(training.queries), *_mean_and_factor(training.documents))

    @classmethod
    def of_length(cls, training: RowData) -> "Scaling":
        """Bring states to length 1 on average, all by the same factor: angles and ratios stay as they are."""
        factors = [
            states.square().sum(dim=2, keepdim=True).mean(dim=1, keepdim=True).clamp(min=1e-30).rsqrt()
            for states in (training.queries, training.documents)
        ]
        return cls(torch.zeros_like(factors[0]), factors[0], torch.zeros_like(factors[1]), factors[1])


def _mean_and_factor(states: Tensor) -> tuple[Tensor, Tensor]:
    mean = states.mean(dim=1, keepdim=True)
    deviation = states.std(dim=1, keepdim=True, correction=0)
    # States of one and the same token differ by rounding alone, which must not be blown up.
    varies = deviation > 1e-6 * mean.abs().clamp(min=1e-6)
    factor = torch.where(varies, 1 / (deviation.clamp(min=1e-30) * states.shape[2] ** 0.5), 0.0)
    return mean, factor


def load(
    rows: CandidateRows,
    queries: LayerStates,
    documents: LayerStates,
    layers: Sequence[int],
    seed: int,
    device: torch.device,
) -> RowData:
    """Read the states of some layers of all texts of the rows.

    Args:
        rows: The rows.
        queries: States of `rows.query_texts`.
        documents: States of `rows.document_texts`.
        layers: Which.
        seed: Of the control task.
        device: Where to.
    """

    def stacked(states: LayerStates) -> Tensor:
        return torch.stack([torch.from_numpy(states.layer(layer)) for layer in layers]).to(device)

    control = control_answers(rows, seed)
    return RowData(
        stacked(queries),
        stacked(documents),
        torch.from_numpy(rows.questions).to(device),
        torch.from_numpy(rows.documents).to(device),
        {n: torch.from_numpy(order).to(device) for n, order in rows.orders.items()},
        {n: torch.from_numpy(right).to(device) for n, right in control.items()},
        None if rows.pool is None else torch.from_numpy(rows.pool).to(device),
    )


def drawn_below(sizes: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw whole numbers below each size: without replacement, and with it where a size is less than the count.

    Args:
        sizes: At least 1, int64 [rows].
        count: How many are drawn for each.
        generator: Draws.

    Returns:
        int64 [rows, count].
    """
    again = (generator.random((len(sizes), count)) * sizes[:, None]).astype(np.int64)
    found = np.empty((len(sizes), 0), dtype=np.int64)
    for place in range(count):
        # The next of those that are left, counted past the ones already taken in ascending order.
        following = (generator.random(len(sizes)) * np.maximum(sizes - place, 1)).astype(np.int64)
        for taken in np.sort(found, axis=1).T:
            following += following >= taken
        found = np.concatenate([found, following[:, None]], axis=1)
    return np.where((sizes >= count)[:, None], found, again)


def control_answers(rows: CandidateRows, seed: int) -> dict[int, np.ndarray]:
    """Give the right answers of the control task: nothing but memory of documents helps (Hewitt and Liang 2019).

    Every document draws a rank, which says nothing of its text; the candidate with the highest is right.

    Args:
        rows: The rows.
        seed: Of the ranks.

    Returns:
        By N: the column of `rows.documents` that is right, int64 [rows].
    """
    rank = np.random.default_rng([seed, 1]).permutation(len(rows.document_texts))
    return {
        n: order[np.arange(len(rows)), rank[np.take_along_axis(rows.documents, order, 1)].argmax(axis=1)]
        for n, order in rows.orders.items()
    }
