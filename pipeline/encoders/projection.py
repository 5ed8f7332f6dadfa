"""The optional layers around the pooling, over each token's state or over the vector: what a saved folder puts there."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import activation

from pipeline.encoders.pooling import wide
from pipeline.errors import UserError

IDENTITY = "torch.nn.modules.linear.Identity"

NOT_BY_ELEMENT = {"GLU", "LogSoftmax", "MultiheadAttention", "PReLU", "Softmax", "Softmax2d", "Softmin", "Threshold"}
"""Activations of torch that have weights or arguments, change the width, or look at more than one number."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    IDENTITY: nn.Identity,
    "torch.nn.Identity": nn.Identity,
    **{
        f"{place}.{name}": getattr(activation, name)
        for name in activation.__all__
        if name not in NOT_BY_ELEMENT
        for place in ("torch.nn.modules.activation", "torch.nn")
    },
}
"""The activations that a sentence-transformers `Dense` may name, by the names that may stand in its config."""


class Layer(nn.Module, ABC):
    """Turns token states [texts, tokens, width] into others, or vectors [texts, width]."""

    kind: ClassVar[str]
    """What sentence-transformers calls such a module."""

    @property
    def inputs(self) -> int | None:
        """Width of what comes in; None where any will do."""
        return None

    def width_after(self, width: int) -> int:
        """Say how wide is what goes out where so much comes in."""
        return width

    @abstractmethod
    def config(self) -> dict[str, object]:
        """What sentence-transformers writes for such a layer."""

    def description(self) -> dict[str, object]:
        """Say what decides a vector beside the weights."""
        return {"kind": self.kind, **self.config()}

    def drawn_anew(self, seed: int) -> "Layer":
        """Give such a layer with weights that are not trained."""
        return self


class Normalize(Layer):
    """Gives everything the length 1; what ends a tower of cosine similarity is no layer of its own."""

    kind = "Normalize"

    def forward(self, vectors: Tensor) -> Tensor:
        """Divide by the length."""
        return functional.normalize(wide(vectors), dim=-1)

    def config(self) -> dict[str, object]:
        """There is nothing to say."""
        return {}


class LayerNorm(Layer):
    """Layer normalisation (Ba et al. 2016).

    Args:
        width: Of what comes in and goes out.
    """

    kind = "LayerNorm"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    @property
    def inputs(self) -> int:
        """Width of what comes in."""
        return self.norm.normalized_shape[0]

    def forward(self, vectors: Tensor) -> Tensor:
        """Normalise each vector, then scale and shift its dimensions."""
        return self.norm(vectors.to(self.norm.weight.dtype))

    def config(self) -> dict[str, object]:
        """Say how wide it is."""
        return {"dimension": self.inputs}

    def drawn_anew(self, seed: int) -> "LayerNorm":
        """Give one that scales and shifts nothing."""
        return LayerNorm(self.inputs)


class Projection(Layer):
    """A linear map, the same as sentence-transformers' `Dense`.

    Args:
        inputs: Width of the pooled vector.
        outputs: Width of the projected one.
        bias: Whether there is a bias.
        activation: One of `ACTIVATIONS`; a projection made here has none.
    """

    kind = "Dense"

    def __init__(self, inputs: int, outputs: int, bias: bool = True, activation: str = IDENTITY) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(
                f"A projection with the activation {activation!r} cannot be read; known are those of torch.nn that need no"
                " argument and take each number by itself, such as torch.nn.GELU."
            )
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]()

    @property
    def inputs(self) -> int:
        """Width of what comes in."""
        return self.linear.in_features

    @property
    def outputs(self) -> int:
        """Width of what goes out."""
        return self.linear.out_features

    def forward(self, vectors: Tensor) -> Tensor:
        """Project vectors [..., inputs] to [..., outputs]."""
        return self.activation(self.linear(vectors.to(self.linear.weight.dtype)))

    def width_after(self, width: int) -> int:
        """Say how wide is what goes out."""
        return self.outputs

    def config(self) -> dict[str, object]:
        """Say the widths, and what follows the matrix."""
        return {
            "in_features": self.inputs,
            "out_features": self.outputs,
            "bias": self.linear.bias is not None,
            "activation_function": self.activation_name,
        }

    def description(self) -> dict[str, object]:
        """Say it without the kind, as it was said before there were others, so that older tables are found."""
        return self.config()

    def drawn_anew(self, seed: int) -> "Projection":
        """Draw another of this shape."""
        return Projection.fresh(self.inputs, self.outputs, seed, self.linear.bias is not None, self.activation_name)

    @classmethod
    def fresh(cls, inputs: int, outputs: int, seed: int, bias: bool = True, activation: str = IDENTITY) -> "Projection":
        """Make a new projection from a seed, whatever the state of the global generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(inputs, outputs, bias, activation)
