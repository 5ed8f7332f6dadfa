"""The published way to attribute, written plainly: the peer of `probe=attribution protocol=published`.

Yao, Wang and Zuccon (2025): for each feed-forward sub-layer, its weight and bias are scaled in place by each point of
linspace(1e-6, 1, 20) and restored; each time the whole model is run on one text, forwards and backwards, the gradient of
the representation's norm with respect to the weight is read, and all of them count 1/20. Nothing of `pipeline` is used.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

STEPS = 20
SUB_LAYERS = (".intermediate.dense", ".output.dense", ".mlp.gate_proj", ".mlp.down_proj")
"""How the names of BERT's and Llama's feed-forward sub-layers end; attention's output ends like BERT's second."""


def published(model: PreTrainedModel, token_ids: Sequence[int], read: str, steps: int = STEPS) -> list[Tensor]:
    """Attribute the norm of one text's representation to the neurons of every sub-layer.

    Args:
        model: As transformers opens it; its weights are changed and restored.
        token_ids: Of the text.
        read: What of the model is the representation: `pooler`, `cls`, `mean` or `last`.
        steps: Points of the path.

    Returns:
        For each block the inner and then the outer sub-layer's attributions, each [outputs].
    """
    parts = [
        part
        for name, part in model.named_modules()
        if name.endswith(SUB_LAYERS) and not name.endswith("attention.output.dense")
    ]
    return [_of_one(model, torch.tensor([token_ids]), part, read, steps) for part in parts]


def _of_one(model: PreTrainedModel, ids: Tensor, linear: nn.Linear, read: str, steps: int) -> Tensor:
    """Attribute to the neurons of one sub-layer."""
    saved = {name: value.detach().clone() for name, value in linear.named_parameters()}
    gradients = torch.zeros_like(linear.weight)
    for scale in torch.linspace(1e-6, 1, steps):
        with torch.no_grad():
            for name, value in linear.named_parameters():
                value.copy_(saved[name] * scale)
        model.zero_grad()
        _representation(model(input_ids=ids), read).norm().backward()
        gradients += linear.weight.grad
    with torch.no_grad():
        for name, value in linear.named_parameters():
            value.copy_(saved[name])
    model.zero_grad()
    return (saved["weight"] * gradients / steps).abs().sum(dim=1)


def _representation(output: object, read: str) -> Tensor:
    """Take the vector of the one text out of what the model gave."""
    if read == "pooler":
        return output.pooler_output[0]
    states = output.last_hidden_state[0]
    return {"cls": states[0], "mean": states.mean(dim=0), "last": states[-1]}[read]
