"""Where the parts of a transformer lie: its blocks, its embeddings, its limits; for any architecture."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from pipeline.errors import UserError


def blocks(model: PreTrainedModel) -> nn.ModuleList:
    """Find the list of a transformer's layers, the outermost one that is as long as the config says.

    Raises:
        UserError: When the architecture keeps no such list (ALBERT shares one layer).
    """
    depth = model.config.num_hidden_layers
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    for _, part in sorted(lists, key=lambda item: item[0].count(".")):
        if len(part) == depth:
            return part
    raise UserError(f"A {model.config.model_type} model has no list of {depth} layers that could be told apart.")


def embeddings(model: PreTrainedModel) -> list[nn.Module]:
    """Find everything before the first layer: word, position and type embeddings and their normalisation."""
    stacked = {id(part) for layers in model.modules() if isinstance(layers, nn.ModuleList) for part in layers.modules()}
    return [
        part
        for name, part in model.named_modules()
        if (isinstance(part, nn.Embedding) or "embed" in name or name.endswith("project_in"))
        and stacked.isdisjoint(map(id, part.modules()))
    ]


def keep_first_layers(config: PretrainedConfig, layers: int | None, where: str) -> None:
    """Shorten a config to its first layers, per-layer lists (such as attention types) included.

    Args:
        config: Changed in place.
        layers: How many to keep; None keeps all.
        where: Which model this is, for the message.

    Raises:
        UserError: When `layers` is not between 1 and the depth.
    """
    depth = config.num_hidden_layers
    if layers is None:
        return
    if type(layers) is not int or not 1 <= layers <= depth:
        raise UserError(f"layers={layers} is out of range: {where} has {depth} layers, so choose 1 to {depth}.")
    for name, value in config.to_dict().items():
        if "layer" in name and isinstance(value, list) and len(value) == depth:
            setattr(config, name, value[:layers])
    config.num_hidden_layers = layers


def keep_layers(model: PreTrainedModel, chosen: Sequence[int]) -> None:
    """Take all layers but the chosen ones out of a model.

    Args:
        model: Changed in place, its config too.
        chosen: Numbers of layers from 0, ascending.
    """
    layers, config = blocks(model), model.config
    depth = config.num_hidden_layers
    kept = [layers[place] for place in chosen]
    for name, value in config.to_dict().items():
        if "layer" in name and isinstance(value, list) and len(value) == depth:
            setattr(config, name, [value[place] for place in chosen])
    del layers[:]
    layers.extend(kept)
    config.num_hidden_layers = len(kept)


def freeze(model: PreTrainedModel, parts: list[str]) -> None:
    """Take parts of a model out of training.

    Args:
        model: Changed in place.
        parts: `embeddings`, `layer 3` or `layers 0-5` (both ends included), as many as wished.

    Raises:
        UserError: When a part is not understood or out of range.
    """
    for part in parts:
        for module in _part(model, part):
            module.requires_grad_(False)


def _part(model: PreTrainedModel, part: str) -> list[nn.Module]:
    """Look up one entry of `freeze`."""
    if part == "embeddings":
        return embeddings(model)
    match = re.fullmatch(r"layers? (\d+)(?:\s*-\s*(\d+))?", str(part))
    if not match:
        raise UserError(f"freeze: {part!r} is not understood; write embeddings, 'layer 3' or 'layers 0-5'.")
    first, last = int(match[1]), int(match[2] or match[1])
    layers = blocks(model)
    if not first <= last < len(layers):
        raise UserError(f"freeze: {part!r} is out of range; the model has layers 0-{len(layers) - 1}.")
    return list(layers[first : last + 1])


def position_limit(model: PreTrainedModel) -> int | None:
    """Say how many tokens a model can take, or None where it has no limit of its own."""
    limit: Any = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return None
    return limit - first_position(model)


def takes_positions(model: nn.Module) -> bool:
    """Whether a model wants to be told positions where padding stands before a text.

    RoBERTa and its kin find them themselves, and models with relative positions need none.
    """
    return can_be_told_positions(model) and not first_position(model)


def can_be_told_positions(model: nn.Module) -> bool:
    """Whether positions may be given with the tokens."""
    return "position_ids" in inspect.signature(model.forward).parameters


def first_position(model: nn.Module) -> int:
    """The number of the first position: 0, or for RoBERTa and its kin the one after the padding's id."""
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    return table.padding_idx + 1 if isinstance(table, nn.Embedding) and table.padding_idx is not None else 0
