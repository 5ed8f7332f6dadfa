"""Pooling: from the states of a text's tokens to one vector, never looking at padding."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from pipeline.errors import UserError, nearest


class Pooling(ABC):
    """How the token states of a text become one vector; a class with no state of its own."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool.

        Args:
            states: Token states, [texts, tokens, width]; half precisions are pooled in float32.
            mask: 1 for a real token and 0 for padding, [texts, tokens]; padding may be on either side.

        Returns:
            One vector a text, [texts, width].
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
        states = _wide(states)
        weights = mask.to(states.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True)
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1)


class Max(Pooling):
    """The largest value of each dimension among the real tokens."""

    name = "max"

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """Lower padding below everything."""
        return _wide(states).masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


class Own:
    """Not a pooling but the wish for the checkpoint's own: saved in its folder or published; the mean where it has none."""

    name = "own"


class AsSaved(Own):
    """The wish for what the backbone's folder has saved, refused where it has saved none."""

    name = "as_saved"


POOLINGS: dict[str, type[Pooling]] = {pooling.name: pooling for pooling in (Cls, Last, Mean, Max)}


def pooling_named(name: str) -> Pooling:
    """Make the pooling of this name.

    Raises:
        UserError: When there is none.
    """
    if name not in POOLINGS:
        raise UserError(f"There is no pooling {name!r}; {nearest(name, POOLINGS)}")
    return POOLINGS[name]()


def _wide(states: Tensor) -> Tensor:
    """Sums over tokens need more digits than half precision has."""
    return states if states.dtype in (torch.float32, torch.float64) else states.float()


def _at(states: Tensor, positions: Tensor) -> Tensor:
    """Take the state at one position of each text."""
    return _wide(states[torch.arange(len(states), device=states.device), positions.long()])
