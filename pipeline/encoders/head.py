"""What a tower does with its transformer's token states: layers over each, the pooling, layers over the vector."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.layout import Similarity
from pipeline.encoders.pooling import Pooling
from pipeline.encoders.projection import Layer
from pipeline.errors import UserError


@dataclass(frozen=True)
class Head:
    """From token states to a vector.

    Attributes:
        token_layers: Before the pooling, usually none.
        pooling: How token states become one vector.
        projections: After the pooling, usually none or one.
        similarity: `cosine` normalises the vectors at the end, `dot` leaves them.
    """

    token_layers: Sequence[Layer]
    pooling: Pooling
    projections: Sequence[Layer]
    similarity: Similarity

    def dimension(self, width: int) -> int:
        """Follow the width of token states through the layers to that of the vectors.

        Raises:
            UserError: When a layer expects another width than it gets.
        """
        width = self.state_width(width) * len(self.pooling.modes)
        for layer in self.projections:
            width = _through(layer, width)
        return width

    def state_width(self, width: int) -> int:
        """Follow the width of token states to that of what is pooled; see `dimension`."""
        for layer in self.token_layers:
            width = _through(layer, width)
        return width

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """Turn token states [texts, tokens, width] into pooled ones [texts, modes * width].

        Args:
            states: What the last layer of the transformer says of each token.
            mask: 1 for the tokens that are pooled, [texts, tokens]; see `pooled_tokens`.
        """
        for layer in self.token_layers:
            states = layer(states)
        return self.pooling(states, mask)

    def finished(self, pooled: Tensor) -> Tensor:
        """Turn pooled states into vectors [texts, dimension]."""
        for layer in self.projections:
            pooled = layer(pooled)
        return functional.normalize(pooled, dim=-1) if self.similarity == "cosine" else pooled

    def vectors(self, states: Tensor, mask: Tensor) -> Tensor:
        """Turn token states into vectors [texts, dimension]; see `pooled`."""
        return self.finished(self.pooled(states, mask))

    def copied(self, device: torch.device) -> "Head":
        """Copy it to where states are; layers keep their precision."""
        before, after = (
            [copy.deepcopy(layer).to(device) for layer in layers] for layers in (self.token_layers, self.projections)
        )
        return Head(before, self.pooling, after, self.similarity)


class PromptedIds(list[int]):
    """A text's token ids, of which the first so many are left out of the pooling: a prompt's, and what is put before it."""

    def __init__(self, ids: Iterable[int], prompt: int) -> None:
        super().__init__(ids)
        self.prompt = prompt


def pooled_tokens(batch: dict[str, Tensor]) -> Tensor:
    """Say which tokens of a batch made by `pad` are pooled: 1 for those, [texts, tokens]."""
    mask = batch["attention_mask"]
    if "prompt_length" not in batch:
        return mask
    return mask * (mask.cumsum(dim=1) > batch["prompt_length"][:, None])


def _through(layer: Layer, width: int) -> int:
    if layer.inputs not in (None, width):
        raise UserError(f"A {layer.kind} layer expects vectors of width {layer.inputs} but gets {width}.")
    return layer.width_after(width)
