"""Training batches as a pure function of seed and step: nothing is remembered, so nothing has to be restored."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import IterableDataset

from pipeline.errors import UserError
from pipeline.training.examples import Examples
from pipeline.training.steps import StepRange

EPOCH_ORDER, DRAWS, DROPOUT = 1, 2, 3
"""What a generator is for; keeps the streams of one seed apart."""


@dataclass(frozen=True)
class ContrastiveBatch:
    """The texts of one step on one rank, and which documents count for which query.

    Documents stand in the order of their queries, each query's positive before its negatives, so that concatenating
    the ranks' parts gives the batch of a single process.

    Attributes:
        step: The step that this batch belongs to, from 0.
        queries: Query texts of this rank, Q of them.
        documents: Positions in the corpus of this rank's documents, Q * (1 + negatives) of them.
        targets: Column of each query's positive among the documents of all ranks, [Q], int64.
        masked: True where a document of any rank does not count for a query of this rank, [Q, all documents].
    """

    step: int
    queries: list[str]
    documents: np.ndarray
    targets: np.ndarray
    masked: np.ndarray


class ContrastiveBatches(StepRange, IterableDataset[ContrastiveBatch]):
    """Batches of queries with a positive and negatives each, for the steps from `first_step` to `last_step`.

    Args:
        examples: Queries, documents, positives and negatives.
        batch_size: Queries in a step, over all ranks.
        seed: Fixes the order of the queries and every draw.
        separator: Stands between a query's title and its text, where it is a document without a label.

    Raises:
        UserError: When fewer queries have a positive than a batch needs.
    """

    def __init__(self, examples: Examples, batch_size: int, seed: int, separator: str = " ") -> None:
        super().__init__(batch_size)
        self.examples, self.seed, self.separator = examples, seed, separator
        self.trainable = np.flatnonzero([len(positions) > 0 for positions in examples.positives])
        if len(self.trainable) < batch_size:
            raise UserError(
                f"The {examples.name} has {len(self.trainable)} queries with a positive document, fewer than "
                f"stage.batch_size={batch_size}; lower the batch size or raise dataset.limit."
            )
        self.steps_per_epoch = len(self.trainable) // batch_size
        self._epoch_order: tuple[int, np.ndarray] = (-1, self.trainable)

    def __iter__(self) -> Iterator[ContrastiveBatch]:
        return (self.at(step) for step in range(self.first_step, self.last_step))

    def at(self, step: int) -> ContrastiveBatch:
        """Make the batch of one step."""
        rows = self._rows(step)
        documents = self._documents(step, rows)
        size = len(rows) // self.ranks
        mine = slice(self.rank * size, (self.rank + 1) * size)
        width = 1 + self.examples.negatives_count
        query_texts = self.examples.queries.take(rows, self.separator)
        masked = self._masked(rows[mine], query_texts, documents, first=self.rank * size)
        return ContrastiveBatch(
            step=step,
            queries=query_texts[mine],
            documents=documents[mine].reshape(-1),
            targets=np.arange(mine.start, mine.stop) * width,
            masked=masked,
        )

    def _rows(self, step: int) -> np.ndarray:
        """Positions of the queries of a step: each epoch is a new order of all of them."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._epoch_order[0] != epoch:
            order = np.random.default_rng([self.seed, EPOCH_ORDER, epoch]).permutation(self.trainable)
            self._epoch_order = (epoch, order)
        return self._epoch_order[1][batch * self.batch_size : (batch + 1) * self.batch_size]

    def _documents(self, step: int, rows: np.ndarray) -> np.ndarray:
        """Draw each query's positive and negatives: positions, [queries, 1 + negatives]."""
        generator = np.random.default_rng([self.seed, DRAWS, step])
        drawn = np.empty((len(rows), 1 + self.examples.negatives_count), dtype=np.int64)
        for place, row in enumerate(rows):
            drawn[place, 0] = generator.choice(self.examples.positives[row])
            if self.examples.negatives_count:
                drawn[place, 1:] = self._draw_negatives(generator, row)
        return drawn

    def _draw_negatives(self, generator: np.random.Generator, row: int) -> np.ndarray:
        """Draw a query's negatives without repetition; what its candidates cannot fill comes from the whole corpus."""
        assert self.examples.negatives is not None
        candidates = self.examples.negatives[row]
        candidates = candidates[candidates >= 0]
        drawn = generator.permutation(candidates)[: self.examples.negatives_count]
        missing = self.examples.negatives_count - len(drawn)
        return (
            np.concatenate([drawn, generator.integers(len(self.examples.documents), size=missing)])
            if missing
            else drawn
        )

    def _masked(self, rows: np.ndarray, query_texts: list[str], documents: np.ndarray, first: int) -> np.ndarray:
        """Say which documents must not be counted as negatives of which query.

        A query's other positives are no negatives, nor are texts equal to one of its positives, nor the positives of
        a query that reads the same, nor what is no result of it; a text that stands in the batch several times counts once.
        """
        width, unwanted = documents.shape[1], self.examples.unwanted
        columns = documents.reshape(-1)
        text_of = _first_occurrences(self.examples.documents.take(columns))
        repeated = text_of != np.arange(len(columns))
        column_of = {int(position): column for column, position in enumerate(columns)}
        twins: dict[str, list[int]] = {}
        for row, text in enumerate(query_texts):
            twins.setdefault(text, []).append(row)
        masked = np.tile(repeated, (len(rows), 1))
        for place, row in enumerate(rows):
            uncounted = [*self.examples.positives[row], *([] if unwanted is None else unwanted[row])]
            own = [column_of[int(p)] for p in uncounted if int(p) in column_of]
            own += [twin * width for twin in twins[query_texts[first + place]]]
            masked[place, np.isin(text_of, text_of[own])] = True
            masked[place, (first + place) * width] = False
        return masked


def _first_occurrences(texts: list[str]) -> np.ndarray:
    """For each text, the place of the first one that is equal to it."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(text, place) for place, text in enumerate(texts)])
