"""The published way to attribute, written plainly: the peer of `pipeline.probing.attribution.integrated_gradients`.

Yao, Wang and Zuccon (2025): for each feed-forward sub-layer, its weight and bias are scaled in place by k/n, k = 1 to n,
and restored; each time the whole model is run on one text, forwards and backwards, and the weight's gradient is read.
"""

import torch
from torch import nn

from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.transformer_tower import TransformerTower, token_states

STEPS = 20


def published(tower: TransformerTower, token_ids: list[int], steps: int = STEPS) -> list[torch.Tensor]:
    """Attribute the norm of one text's pooled states to the neurons of every sub-layer.

    Args:
        tower: Its weights are changed and restored.
        token_ids: Of the text.
        steps: Points of the Riemann sum.

    Returns:
        For each block the inner and then the outer sub-layer's attributions, each [outputs].
    """
    batch = tower.pad([token_ids])
    parts = [linear for part in feed_forwards(tower.backbone) for linear in (part.inner, part.outer)]
    return [_of_one(tower, batch, linear, steps) for linear in parts]


def _of_one(tower: TransformerTower, batch: dict[str, torch.Tensor], linear: nn.Linear, steps: int) -> torch.Tensor:
    """Attribute to the neurons of one sub-layer."""
    saved = {name: value.detach().clone() for name, value in linear.named_parameters()}
    gradients = torch.zeros_like(linear.weight)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for name, value in linear.named_parameters():
                value.copy_(saved[name] * (step / steps))
        tower.zero_grad()
        pooled = tower.pooling(token_states(tower.backbone, batch), batch["attention_mask"])
        pooled.norm().backward()
        gradients += linear.weight.grad
    with torch.no_grad():
        for name, value in linear.named_parameters():
            value.copy_(saved[name])
    tower.zero_grad()
    return (saved["weight"] * gradients / steps).abs().sum(dim=1)
