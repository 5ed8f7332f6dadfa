"""The optional layer between pooling and the vector: a matrix, a bias, and what a saved folder puts after them."""

import torch
from torch import Tensor, nn

from pipeline.errors import UserError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    "torch.nn.modules.activation.Tanh": nn.Tanh,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.GELU": nn.GELU,
    "torch.nn.modules.activation.Sigmoid": nn.Sigmoid,
}
"""The activations that a sentence-transformers `Dense` may name, by the name that stands in its config."""

IDENTITY = "torch.nn.modules.linear.Identity"


class Projection(nn.Module):
    """A linear map, the same as sentence-transformers' `Dense`.

    Args:
        inputs: Width of the pooled vector.
        outputs: Width of the projected one.
        bias: Whether there is a bias.
        activation: One of `ACTIVATIONS`; a projection made here has none.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True, activation: str = IDENTITY) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(
                f"A projection with the activation {activation!r} cannot be read; known are {', '.join(ACTIVATIONS)}."
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
        """Project vectors [texts, inputs] to [texts, outputs]."""
        return self.activation(self.linear(vectors.to(self.linear.weight.dtype)))

    def config(self) -> dict[str, object]:
        """What sentence-transformers writes for such a layer."""
        return {
            "in_features": self.inputs,
            "out_features": self.outputs,
            "bias": self.linear.bias is not None,
            "activation_function": self.activation_name,
        }

    @classmethod
    def fresh(cls, inputs: int, outputs: int, seed: int, bias: bool = True, activation: str = IDENTITY) -> "Projection":
        """Make a new projection from a seed, whatever the state of the global generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(inputs, outputs, bias, activation)
