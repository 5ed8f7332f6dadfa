"""Masked blocks of tokens: a pure function of seed and step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import IterableDataset

from pipeline.encoders.tokenization import TextTokenizer
from pipeline.training.pretraining.masking import Masking
from pipeline.training.pretraining.tokens import Tokens
from pipeline.training.steps import StepRange

# One number for each thing that is drawn, so that none depends on another.
BLOCK_ORDER, MASKS, DROPOUT, HELD_OUT_MASKS = range(4)


@dataclass(frozen=True)
class MaskedBatch:
    """Rows with hidden tokens.

    Attributes:
        step: Which step they are for; -1 for none.
        shown: What the model sees, int64 [rows, tokens].
        attention: 1 for tokens and 0 for padding, int64 [rows, tokens].
        chosen: Which tokens it has to tell, bool [rows, tokens].
        targets: What they are, row by row, int64 [chosen tokens].
        masked: How many there are in the whole batch, over all ranks.
    """

    step: int
    shown: np.ndarray
    attention: np.ndarray
    chosen: np.ndarray
    targets: np.ndarray
    masked: int

    @property
    def tokens(self) -> int:
        """Tokens, special ones included, without padding."""
        return int(self.attention.sum())

    def part(self, rows: slice) -> "MaskedBatch":
        """Give some of the rows."""
        chosen = self.chosen[rows]
        before = int(self.chosen[: rows.start or 0].sum())
        targets = self.targets[before : before + int(chosen.sum())]
        return MaskedBatch(self.step, self.shown[rows], self.attention[rows], chosen, targets, self.masked)


@dataclass(frozen=True)
class Rows:
    """Token rows of equal length, before anything is hidden.

    Attributes:
        ids: int64 [rows, tokens].
        begins: Whether a token begins a word, bool [rows, tokens].
        ordinary: Whether it is neither special nor padding, bool [rows, tokens].
        attention: Whether it is no padding, bool [rows, tokens].
    """

    ids: np.ndarray
    begins: np.ndarray
    ordinary: np.ndarray
    attention: np.ndarray

    @classmethod
    def of(cls, pieces: list[tuple[np.ndarray, np.ndarray]], tokenizer: TextTokenizer) -> "Rows":
        """Put special tokens around pieces of text, and fill the rows up to the longest on the right.

        Args:
            pieces: Ids and beginnings of words, as `tokenised` gives them.
            tokenizer: Knows the special tokens.
        """
        before, after = (np.array(part, dtype=np.int64) for part in tokenizer.around())
        longest = max(len(ids) for ids, _ in pieces) + len(before) + len(after)
        ids = np.full((len(pieces), longest), tokenizer.pad_id, dtype=np.int64)
        begins, attention = np.ones(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
        for row, (piece, first) in enumerate(pieces):
            whole = np.concatenate([before, piece, after])
            ids[row, : len(whole)] = whole
            begins[row, len(before) : len(before) + len(piece)] = first
            attention[row, : len(whole)] = True
        return cls(ids, begins, attention & ~np.isin(ids, tokenizer.special_ids), attention)

    def masked(self, masking: Masking, generator: np.random.Generator, step: int) -> MaskedBatch:
        """Hide tokens."""
        shown, chosen = masking(self.ids, self.begins, self.ordinary, generator)
        targets = self.ids[chosen]
        return MaskedBatch(step, shown, self.attention.astype(np.int64), chosen, targets, len(targets))


class MaskedBatches(StepRange, IterableDataset[MaskedBatch]):
    """The batches of a pre-training by step number.

    The text is cut into blocks that fill a row; every epoch takes them in a new order, with new masks.

    Args:
        tokens: The text.
        tokenizer: Puts special tokens around a block, and knows the length of a row.
        masking: Hides tokens.
        batch_size: Blocks in a step, over all ranks.
        seed: What is drawn is a function of it and the step.

    Raises:
        UserError: When there is no token to tell.
    """

    def __init__(self, tokens: Tokens, tokenizer: TextTokenizer, masking: Masking, batch_size: int, seed: int) -> None:
        super().__init__(batch_size)
        self.tokens, self.tokenizer, self.masking = tokens, tokenizer, masking
        self.seed = seed
        self.width = tokenizer.max_length - sum(map(len, tokenizer.around()))
        self.blocks = -(-len(tokens) // self.width)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def __iter__(self) -> Iterator[MaskedBatch]:
        size = self.batch_size // self.ranks
        mine = slice(self.rank * size, (self.rank + 1) * size)
        return (self.at(step).part(mine) for step in range(self.first_step, self.last_step))

    def at(self, step: int) -> MaskedBatch:
        """Make the batch of one step, of all ranks."""
        first = step * self.batch_size
        pieces = [self._piece(place) for place in range(first, first + self.batch_size)]
        generator = np.random.default_rng([self.seed, MASKS, step])
        return Rows.of(pieces, self.tokenizer).masked(self.masking, generator, step)

    def tokens_until(self, step: int) -> int:
        """Count the tokens of all steps before one, special tokens included, over all ranks."""
        epochs, rest = divmod(step * self.batch_size, self.blocks)
        special = self.tokenizer.max_length - self.width
        whole = len(self.tokens) + special * self.blocks
        lengths = np.minimum(self.width, len(self.tokens) - self._epoch(epochs)[:rest] * self.width)
        return int(epochs * whole + lengths.sum() + special * rest)

    def _epoch(self, epoch: int) -> np.ndarray:
        """Order the blocks of an epoch."""
        if self._order[0] != epoch:
            generator = np.random.default_rng([self.seed, BLOCK_ORDER, epoch])
            self._order = (epoch, generator.permutation(self.blocks))
        return self._order[1]

    def _piece(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the block that comes at a place of the endless row of epochs."""
        epoch, within = divmod(place, self.blocks)
        start = int(self._epoch(epoch)[within]) * self.width
        block = slice(start, start + self.width)
        return self.tokens.ids[block], self.tokens.begins[block]
