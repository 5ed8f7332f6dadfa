"""Pooling: from the states of a text's tokens to one vector, never looking at padding."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline.errors import UserError, nearest


class Pooling(ABC):
    """How the token states of a text become one vector; a class with no state of its own."""

    name: str
    include_prompt: ClassVar[bool] = True
    """Whether the tokens of a prompt are pooled like those of the text after it."""

    @property
    def modes(self) -> tuple[str, ...]:
        """Names of the simple poolings whose vectors stand side by side; one, where it is simple itself."""
        return (self.name,)

    @abstractmethod
    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool.

        Args:
            states: Token states, [texts, tokens, width]; half precisions are pooled in float32.
            mask: 1 for a token that is pooled and 0 for padding, [texts, tokens]; padding may be on either side.

        Returns:
            One vector a text, [texts, modes * width].
        """


class Cls(Pooling):
    """The state of the first real token."""

    name = "cls"

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Take it, wherever padding ends."""
        return _at(states, mask.to(torch.int32).argmax(dim=1))


class Last(Pooling):
    """The state of the last real token: for causal models the only one that has read the whole text."""

    name = "last"

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Take it, under padding on either side."""
        positions = torch.arange(mask.shape[1], device=mask.device, dtype=torch.int32)
        return _at(states, (mask.to(torch.int32) * positions).argmax(dim=1))


class Mean(Pooling):
    """The mean of the real tokens' states."""

    name = "mean"

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Weigh by the mask."""
        states = wide(states)
        weights = self._weights(mask.to(states.dtype))
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1)

    def _weights(self, mask: Tensor) -> Tensor:
        """Say how much each token counts, [texts, tokens]; where none is left, as after a prompt, the mean is 0."""
        return mask / mask.sum(dim=1, keepdim=True).clamp(min=1)


class WeightedMean(Mean):
    """The mean of the real tokens' states, the nth counted n times (Muennighoff 2022, SGPT)."""

    name = "weighted_mean"

    def _weights(self, mask: Tensor) -> Tensor:
        return super()._weights(mask * mask.cumsum(dim=1))


class MeanSqrtLength(Mean):
    """The sum of n real tokens' states divided by the root of n."""

    name = "mean_sqrt_len"

    def _weights(self, mask: Tensor) -> Tensor:
        return mask / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt()


class Max(Pooling):
    """The largest value of each dimension among the real tokens."""

    name = "max"

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Lower padding below everything."""
        return wide(states).masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


class SideBySide(Pooling):
    """Several simple poolings, their vectors one after the other.

    Args:
        poolings: In the order of their vectors.
    """

    def __init__(self, poolings: Sequence[Pooling]) -> None:
        self.poolings = list(poolings)
        self.name = "+".join(self.modes)

    @property
    def modes(self) -> tuple[str, ...]:
        """Names of the poolings."""
        return tuple(pooling.name for pooling in self.poolings)

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool in each way."""
        return torch.cat([pooling(states, mask) for pooling in self.poolings], dim=-1)


class WithoutPrompt(Pooling):
    """A pooling that leaves out the prompt's tokens, and the special ones before it; the mask that it is given says which.

    Args:
        pooling: What is done with the others.
    """

    include_prompt = False

    def __init__(self, pooling: Pooling) -> None:
        self.pooling = pooling
        self.name = f"{pooling.name} without the prompt"

    @property
    def modes(self) -> tuple[str, ...]:
        """Those of the pooling."""
        return self.pooling.modes

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool what is left."""
        return self.pooling(states, mask)


class Own:
    """Not a pooling but the wish for the checkpoint's own: saved in its folder or published; the mean where it has none."""

    name = "own"


class AsSaved(Own):
    """The wish for what the backbone's folder has saved, refused where it has saved none."""

    name = "as_saved"


POOLINGS: dict[str, type[Pooling]] = {
    pooling.name: pooling for pooling in (Cls, Last, Mean, Max, WeightedMean, MeanSqrtLength)
}


def pooling_named(name: str) -> Pooling:
    """Make the pooling of this name.

    Raises:
        UserError: When there is none.
    """
    if name not in POOLINGS:
        raise UserError(f"There is no pooling {name!r}; {nearest(name, POOLINGS)}")
    return POOLINGS[name]()


def wide(states: Tensor) -> Tensor:
    """Give states or vectors the digits that sums and lengths need, and half precision does not have."""
    return states if states.dtype in (torch.float32, torch.float64) else states.float()


def _at(states: Tensor, positions: Tensor) -> Tensor:
    """Take the state at one position of each text."""
    return wide(states[torch.arange(len(states), device=states.device), positions.long()])
