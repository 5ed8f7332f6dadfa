"""Frozen linear layers that gradients pass through as fast as states do: oneDNN's packed products in both directions.

A layer that is not trained needs no gradient of its weight, and its input's gradient is again a linear layer, with the
transposed weight; so both can lie in oneDNN's own order (see `pipeline.encoders.cpu`).
"""

from typing import Any

import torch
from torch import Tensor, nn


class FrozenLinear(nn.Module):
    """A linear layer whose input, but not whose weight, has a gradient.

    Args:
        linear: The layer to take the weights of.
        tokens: About how many tokens will come at once.
    """

    def __init__(self, linear: nn.Linear, tokens: int) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, tokens)
        self.backwards = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), tokens)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, states: Tensor) -> Tensor:
        """Multiply states [..., inputs] into [..., outputs]."""
        return _Product.apply(states, self)


class _Product(torch.autograd.Function):
    """The product and its gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, layer: FrozenLinear) -> Tensor:
        ctx.layer = layer
        return torch.ops.mkldnn._linear_pointwise(states, layer.weight, layer.bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        packed = ctx.layer.backwards
        return torch.ops.mkldnn._linear_pointwise(gradient.contiguous(), packed, None, "none", [], ""), None


def make_differentiable(model: nn.Module, tokens: int) -> None:
    """Exchange the linear layers of a frozen float32 model on the CPU, where this build of torch has oneDNN.

    Args:
        model: A copy that nobody trains or saves; changed in place.
        tokens: About how many tokens a batch will have.
    """
    first = next(model.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, FrozenLinear(child, tokens))
