"""The units that a transformer's weights are divided into: embeddings, one for each layer, and what comes after."""

import torch
from transformers import PreTrainedModel

from pipeline.encoders.architecture import blocks, embeddings


def units_of(model: PreTrainedModel) -> dict[str, int]:
    """Say which unit each weight belongs to.

    Args:
        model: Any transformer whose blocks can be told apart.

    Returns:
        From the name of a weight, shared ones under each of their names, to 0 for embeddings, 1 to depth for layers, and
        depth + 1 for what comes after them (the last normalisation of Llama's kin).
    """
    layers = blocks(model)
    place = {id(weight): number for number, block in enumerate(layers, start=1) for weight in block.parameters()}
    place |= {id(weight): 0 for part in embeddings(model) for weight in part.parameters()}
    weights = model.named_parameters(remove_duplicate=False)
    return {name: place.get(id(weight), len(layers) + 1) for name, weight in weights}


def unit_names(depth: int) -> list[str]:
    """Name the units of a transformer, the one after the layers too."""
    return ["embeddings", *(f"layer {number}" for number in range(1, depth + 1)), "after the layers"]


def same_weights(first: PreTrainedModel, second: PreTrainedModel) -> bool:
    """Whether two transformers have weights of the same names and shapes."""
    return _shapes(first) == _shapes(second)


def _shapes(model: PreTrainedModel) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in model.named_parameters(remove_duplicate=False)}
