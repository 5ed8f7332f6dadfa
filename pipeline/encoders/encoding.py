"""Encoding many texts fast: sorted by length within a window, batched by a budget of tokens, in any precision."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from pipeline.checks import one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.encoders.cpu import TOKENS_PER_THREAD
from pipeline.encoders.device import chosen_device
from pipeline.encoders.memory import lacks_memory
from pipeline.encoders.padding import warn_where_padding_matters
from pipeline.encoders.precision import PRECISIONS, fast_bfloat16
from pipeline.encoders.tally import Tally
from pipeline.encoders.tower import Tower
from pipeline.errors import UserError

TOKENS_PER_GPU = 16_384
"""Tokens of a batch on a GPU."""


@dataclass(frozen=True)
class EncodingSettings:
    """How texts are encoded.

    Args:
        precision: `float32`, `bfloat16`, `float16` (on GPUs), or `auto`, which becomes bfloat16 where the device
            computes in it and float32 elsewhere.
        token_budget: Tokens in one batch, padding included; None: what suits the device.
        window: How many texts are sorted by length together.
        device: `auto` (the first GPU, or else the CPU), `cpu`, `cuda`, `cuda:1`, …
        tally: Counts what is encoded with these settings; decides nothing.
    """

    precision: str = "float32"
    token_budget: int | None = None
    window: int = 4096
    device: str = "auto"
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)

    def __post_init__(self) -> None:
        one_of("encoding.precision", self.precision, [*PRECISIONS, "auto"])
        if self.token_budget is not None:
            whole_number("encoding.token_budget", self.token_budget)
        whole_number("encoding.window", self.window)
        device = self.torch_device
        if self.precision == "auto":
            object.__setattr__(self, "precision", "bfloat16" if fast_bfloat16(device) else "float32")
        if self.precision == "float16" and device.type == "cpu":
            raise UserError("encoding.precision=float16 needs a GPU; choose bfloat16 or float32.")

    @property
    def torch_device(self) -> torch.device:
        """The device meant.

        Raises:
            UserError: When it is not there.
        """
        return chosen_device("encoding.device", self.device)

    @property
    def tokens(self) -> int:
        """The token budget meant."""
        if self.token_budget is not None:
            return self.token_budget
        return TOKENS_PER_GPU if self.torch_device.type == "cuda" else TOKENS_PER_THREAD * torch.get_num_threads()

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        return PRECISIONS[self.precision]


class Encoder:
    """A copy of a tower made ready to encode, in the wished precision and place.

    Make one for many calls. The tower itself stays as it is, bit for bit.

    Args:
        tower: The tower; changes to it after this are not seen.
        settings: How to encode.
    """

    def __init__(self, tower: Tower, settings: EncodingSettings) -> None:
        self.tower = tower
        self.settings = settings
        self.device = settings.torch_device
        warn_where_padding_matters(tower)
        self.vectors_of = tower.frozen(self.device, settings.dtype, settings.tokens)

    def encode(self, texts: list[str], kind: Kind, advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Encode texts.

        Args:
            texts: The texts.
            kind: Whose prompt stands before them.
            advance: Called with the number of tokens of each batch that is done.

        Returns:
            Vectors in the order of the texts, float32, [texts, dimension].
        """
        vectors = np.empty((len(texts), self.tower.dimension), dtype=np.float32)
        for start in range(0, len(texts), self.settings.window):
            ids = self.tower.token_ids(texts[start : start + self.settings.window], kind)
            vectors[start : start + len(ids)] = self.encode_tokens(ids, advance)
        return vectors

    def encode_tokens(self, token_ids: list[list[int]], advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Encode tokenized texts, divided into batches of about equal length.

        Args:
            token_ids: What the tower's `token_ids` made of the texts.
            advance: Called with the number of tokens of each batch that is done.

        Returns:
            Vectors in the order of the texts, float32, [texts, dimension]; the device has finished with them.
        """
        if not self.tower.padded:  # no batch is better than another
            vectors = self._vectors(token_ids)
            self._count(token_ids, advance)
            return vectors
        vectors = np.empty((len(token_ids), self.tower.dimension), dtype=np.float32)
        for batch in batches_by_length([len(text) for text in token_ids], self.settings.tokens):
            texts = [token_ids[position] for position in batch]
            vectors[batch] = self._in_memory(texts)
            self._count(texts, advance)
        return vectors

    def _count(self, token_ids: list[list[int]], advance: Callable[[int], None] | None) -> None:
        """Count a batch that is done."""
        tokens = sum(map(len, token_ids))
        self.settings.tally.encoded(len(token_ids), tokens)
        if advance:
            advance(tokens)

    def _in_memory(self, token_ids: list[list[int]]) -> np.ndarray:
        """Encode one batch, in halves where memory does not suffice for all of it."""
        try:
            return self._vectors(token_ids)
        except RuntimeError as error:
            if len(token_ids) == 1 or not lacks_memory(error):
                raise
        half = len(token_ids) // 2
        print(f"Memory does not suffice for {2 * half} texts at once; going on with {half}.", file=sys.stderr)
        return np.concatenate([self._in_memory(token_ids[:half]), self._in_memory(token_ids[half:])])

    @torch.inference_mode()
    def _vectors(self, token_ids: list[list[int]]) -> np.ndarray:
        """Encode one batch of tokenized texts."""
        batch = {name: value.to(self.device) for name, value in self.tower.pad(token_ids).items()}
        return self.vectors_of(batch).float().cpu().numpy()


def encode(
    tower: Tower,
    texts: list[str],
    kind: Kind,
    settings: EncodingSettings | None = None,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Encode texts once; see `Encoder`, which is the thing to keep for many calls."""
    return Encoder(tower, settings or EncodingSettings()).encode(texts, kind, advance)


def batches_by_length(lengths: list[int], token_budget: int) -> Iterator[np.ndarray]:
    """Divide texts into batches of about equal length.

    Args:
        lengths: Tokens of each text.
        token_budget: Most tokens in a batch, padding included; a longer text makes a batch by itself.

    Yields:
        Positions of the texts of one batch; longest texts come first, so that a lack of memory shows at once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        count = max(1, token_budget // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count
