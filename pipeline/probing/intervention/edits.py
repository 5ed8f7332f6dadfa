"""Edits of a transformer while it computes, by hooks that leave again; no weight is ever touched.

Suppress, amplify and erase are the edits of knowledge neurons (Dai et al., Knowledge Neurons in Pretrained
Transformers, ACL 2022, section 4); patching takes activations from another model on the same tokens (Vig et al., 2020).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.encoders.architecture import blocks
from pipeline.encoders.feed_forward import feed_forwards, weight_of
from pipeline.errors import UserError

Action = Literal["suppress", "amplify", "erase", "patch"]
ACTIONS = ("suppress", "amplify", "erase", "patch")
Unit = Literal["neurons", "heads", "layers"]
UNITS = ("neurons", "heads", "layers")
Place = tuple[int, ...]
"""Layer and number of a neuron or a head, or a layer alone; layers count from 0, as `freeze` counts them."""


@dataclass(frozen=True)
class Edit:
    """What is done to which parts of a transformer.

    Attributes:
        action: `suppress` sets activations to 0 (of a layer: what enters it leaves it unchanged); `erase` removes the
            weights that read them, which at inference is the same; `amplify` multiplies them (of a layer: what it adds
            to its input); `patch` takes them from another model.
        unit: Neurons (inputs of a block's `outer`), attention heads (slices of the input of its `attention_output`), or
            layers (outputs of blocks).
        places: Which.
        factor: What `amplify` multiplies by.
    """

    action: Action
    unit: Unit
    places: tuple[Place, ...]
    factor: float = 2.0


@contextmanager
def edited(backbone: PreTrainedModel, edit: Edit, source: PreTrainedModel | None = None) -> Iterator[None]:
    """Edit a transformer for as long as the context lasts; copies of it that are made meanwhile are edited too.

    Args:
        backbone: Computes as edited inside the context, and as ever after it.
        edit: What to do; no place may be out of range (`require_places`).
        source: Where `patch` takes activations from: a model of the same architecture, precision and device, that is
            run on the same tokens first.
    """
    with ExitStack() as hooks:
        given: dict[int, Tensor] = {}
        layers = sorted({place[0] for place in edit.places})
        if edit.action == "patch":
            assert source is not None, "patching needs a model to take activations from"
            _remember(source, edit.unit, layers, given, hooks)
            _run_first(backbone, source, hooks)
        for layer in layers:
            change = _change_of_layer if edit.unit == "layers" else _change_of_columns
            change(backbone, edit, layer, given, hooks)
        yield


def require_places(backbone: PreTrainedModel, unit: Unit, places: Sequence[Place], setting: str) -> None:
    """Refuse parts that a transformer does not have.

    Args:
        backbone: The transformer.
        unit: What the places are places of.
        places: Where.
        setting: Which setting named them, for the sentence.

    Raises:
        UserError: Naming the first place out of range, and the range.
    """
    sizes = sizes_of(backbone, unit)
    for place in places:
        wanted = 1 if unit == "layers" else 2
        if len(place) != wanted or not all(isinstance(number, int) for number in place):
            form = "a number, such as 3" if wanted == 1 else "a pair of layer and number, such as [3, 17]"
            raise UserError(f"{setting}: each entry must be {form}; {list(place)} is not.")
        layer, number = place[0], place[-1] if wanted == 2 else 0
        if not (0 <= layer < len(sizes) and 0 <= number < sizes[layer]):
            each = "" if unit == "layers" else f", each with {unit} 0-{max(sizes) - 1}"
            shown = layer if unit == "layers" else list(place)
            raise UserError(f"{setting}: {shown} is out of range; the model has layers 0-{len(sizes) - 1}{each}.")


def sizes_of(backbone: PreTrainedModel, unit: Unit) -> list[int]:
    """Count the units of every layer.

    Raises:
        UserError: When the blocks are of an unknown kind.
    """
    if unit == "layers":
        return [1] * len(blocks(backbone))
    if unit == "heads":
        feed_forwards(backbone)
        return [backbone.config.num_attention_heads] * len(blocks(backbone))
    return [part.neurons for part in feed_forwards(backbone)]


def reader(backbone: PreTrainedModel, unit: Unit, layer: int) -> nn.Module:
    """Give the linear layer whose input holds the activations of a layer's neurons or heads."""
    part = feed_forwards(backbone)[layer]
    return part.outer if unit == "neurons" else part.attention_output


def columns_of(backbone: PreTrainedModel, unit: Unit, layer: int, places: Sequence[Place]) -> list[int]:
    """Say which inputs of the `reader` the places of one layer are."""
    numbers = sorted({place[1] for place in places if place[0] == layer})
    if unit == "neurons":
        return numbers
    width = weight_of(reader(backbone, unit, layer)).shape[1] // backbone.config.num_attention_heads
    return [head * width + offset for head in numbers for offset in range(width)]


def _change_of_columns(
    backbone: PreTrainedModel, edit: Edit, layer: int, given: Mapping[int, Tensor], hooks: ExitStack
) -> None:
    """Change what enters a reader."""
    columns = columns_of(backbone, edit.unit, layer, edit.places)

    def hook(module: nn.Module, args: tuple[Tensor]) -> Tensor:
        states = args[0].clone()
        if edit.action == "patch":
            states[..., columns] = given[layer][..., columns].to(states.dtype)
        elif edit.action == "amplify":
            states[..., columns] *= edit.factor
        else:
            states[..., columns] = 0
        return states

    hooks.callback(reader(backbone, edit.unit, layer).register_forward_pre_hook(hook).remove)


def _change_of_layer(
    backbone: PreTrainedModel, edit: Edit, layer: int, given: Mapping[int, Tensor], hooks: ExitStack
) -> None:
    """Change what leaves a block."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        before = args[0] if args else kwargs["hidden_states"]
        after = output[0] if isinstance(output, tuple) else output
        if edit.action == "patch":
            after = given[layer].to(after.dtype)
        elif edit.action == "amplify":
            after = before + edit.factor * (after - before)
        else:
            after = before
        return (after, *output[1:]) if isinstance(output, tuple) else after

    hooks.callback(blocks(backbone)[layer].register_forward_hook(hook, with_kwargs=True).remove)


def _remember(
    source: PreTrainedModel, unit: Unit, layers: Sequence[int], given: dict[int, Tensor], hooks: ExitStack
) -> None:
    """Keep the activations of the source's last pass, by layer."""

    def keep_input(layer: int) -> Callable[[nn.Module, tuple[Tensor]], None]:
        return lambda module, args: given.update({layer: args[0]})

    def keep_output(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, args, output: given.update({layer: output[0] if isinstance(output, tuple) else output})

    for layer in layers:
        handle = (
            blocks(source)[layer].register_forward_hook(keep_output(layer))
            if unit == "layers"
            else reader(source, unit, layer).register_forward_pre_hook(keep_input(layer))
        )
        hooks.callback(handle.remove)


def _run_first(backbone: PreTrainedModel, source: PreTrainedModel, hooks: ExitStack) -> None:
    """Run the source on what is given to the backbone, before the backbone."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with torch.no_grad():
            source(*args, **kwargs)

    hooks.callback(backbone.register_forward_pre_hook(hook, with_kwargs=True).remove)
