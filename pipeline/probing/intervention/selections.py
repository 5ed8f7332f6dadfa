"""Which neurons hold a fact, and which others stand beside them as controls."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pipeline.encoders.encoding import EncodingSettings, batches_by_length
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.intervention.edits import Place, Unit, reader, sizes_of

Seed = int | tuple[int, ...]
"""What a generator of numpy is seeded by."""
NEIGHBOURS = 10
"""A control of equal activity is drawn from so many neurons of its layer whose activity is nearest."""


def knowledge_neurons(attributions: np.ndarray, threshold: float, share: float, count: int) -> tuple[Place, ...]:
    """Choose the neurons that the texts about a fact have in common (Dai et al. 2022, section 3.2).

    A neuron is kept when its attribution exceeds `threshold` times the text's largest in at least a share of the texts;
    of those the ones with the largest mean attribution, each text's largest counting 1.

    Args:
        attributions: At least 0, [texts, layers, neurons].
        threshold: Of a text's largest attribution.
        share: Of the texts, above 0 and at most 1.
        count: At most so many.

    Returns:
        (layer, neuron), the strongest first; none where the texts have none in common.
    """
    largest = attributions.max(axis=(1, 2), keepdims=True)
    relative = attributions / np.where(largest > 0, largest, 1)
    common = (relative > threshold).mean(axis=0) >= share - 1e-9
    strength = np.where(common, relative.mean(axis=0), -1.0)
    order = np.argsort(-strength, axis=None, kind="stable")[: min(count, int(common.sum()))]
    return tuple(
        (int(layer), int(neuron)) for layer, neuron in zip(*np.unravel_index(order, strength.shape), strict=True)
    )


def at_random(sizes: Sequence[int], places: Sequence[Place], seed: Seed) -> tuple[Place, ...] | None:
    """Draw as many parts as there are places, from all layers, none of them a place.

    Args:
        sizes: How many parts each layer has.
        places: (layer, number), or (layer,) where the layers themselves are the parts.
        seed: Of the draw.

    Returns:
        Places of the same form; None where too few parts are left.
    """
    form = len(places[0])
    others = [(layer, number)[:form] for layer, size in enumerate(sizes) for number in range(size)]
    others = sorted(set(others) - set(places))
    if len(others) < len(places):
        return None
    drawn = np.random.default_rng(seed).choice(len(others), len(places), replace=False)
    return tuple(others[position] for position in sorted(drawn))


def of_equal_activity(activity: Sequence[np.ndarray], places: Sequence[Place], seed: Seed) -> tuple[Place, ...] | None:
    """Draw for each place another part of the same layer that is about as active, none twice, none of them a place.

    Args:
        activity: How active each part is, one array [parts] for each layer.
        places: (layer, number).
        seed: Of the draw.

    Returns:
        Places; None where a layer has too few parts left.
    """
    generator = np.random.default_rng(seed)
    taken = set(places)
    drawn: list[Place] = []
    for layer, number in places:
        free = [other for other in range(len(activity[layer])) if (layer, other) not in taken]
        if not free:
            return None
        distance = np.abs(activity[layer][free] - activity[layer][number])
        nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
        chosen = (layer, free[int(generator.choice(nearest))])
        taken.add(chosen)
        drawn.append(chosen)
    return tuple(drawn)


@torch.inference_mode()
def mean_activity(
    tower: TransformerTower, token_ids: list[list[int]], unit: Unit, settings: EncodingSettings
) -> list[np.ndarray]:
    """Measure how active neurons or heads are: the mean absolute activation over the real tokens of some texts.

    Args:
        tower: Whose parts.
        token_ids: What its `token_ids` made of the texts.
        unit: `neurons` or `heads` (the mean over a head's outputs).
        settings: Where and in which batches.

    Returns:
        For each layer, float64 [parts].
    """
    backbone = tower.to(settings.torch_device).backbone.eval()
    sizes = sizes_of(backbone, unit)
    sums = [np.zeros(size) for size in sizes]
    mask, tokens = torch.empty(0), 0

    def look(layer: int, states: Tensor) -> None:
        by_token = states.abs().reshape(*mask.shape, -1)  # OPT's blocks have all texts in one row
        total = (by_token * mask.unsqueeze(-1)).double().sum(dim=(0, 1))
        sums[layer] += total.reshape(sizes[layer], -1).mean(dim=1).cpu().numpy()

    handles = [_watch(reader(backbone, unit, layer), layer, look) for layer in range(len(sizes))]
    try:
        for rows in batches_by_length([len(ids) for ids in token_ids], settings.tokens):
            batch = {name: value.to(tower.device) for name, value in tower.pad([token_ids[r] for r in rows]).items()}
            mask = batch["attention_mask"]
            tokens += int(mask.sum())
            tower(batch)
    finally:
        for handle in handles:
            handle.remove()
    return [total / tokens for total in sums]


def _watch(module: nn.Module, layer: int, look: Callable[[int, Tensor], None]) -> RemovableHandle:
    return module.register_forward_pre_hook(lambda _, args: look(layer, args[0]))
