"""Models between two others: some units from the base and the rest from the tuned one, or all weights in between."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipeline.encoders.backbones import Kind
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.models import ProbedModel
from pipeline.probing.units import units_of

Family = Literal["alone", "from below", "from above", "between"]


@dataclass(frozen=True)
class Variant:
    """One model to measure.

    Attributes:
        family: `alone` (one unit from the base), `from below` (units from the embeddings up to one), `from above` (units
            from the end down to one), or `between` (interpolation).
        unit: The unit that is the last to come from the base; -1 for `between`.
        tuned_share: How much of the tuned model's weights each unit has, from 0 to 1.
    """

    family: Family
    unit: int
    tuned_share: tuple[float, ...]


def variants(units: int, steps: int) -> list[Variant]:
    """List the models that are measured.

    Args:
        units: Number of units that weights are divided into.
        steps: Equal steps from the base to the tuned model, both of which are among the variants.

    Returns:
        Each unit alone, cumulative from below and from above, and interpolations; several may have the same weights.
    """
    numbers = range(units)
    replaced: dict[Family, list[set[int]]] = {
        "alone": [{unit} for unit in numbers],
        "from below": [set(range(unit + 1)) for unit in numbers],
        "from above": [set(range(unit, units)) for unit in numbers],
    }
    found = [
        Variant(family, unit, tuple(0.0 if number in chosen else 1.0 for number in numbers))
        for family, sets in replaced.items()
        for unit, chosen in enumerate(sets)
    ]
    return found + [Variant("between", -1, (step / steps,) * units) for step in range(steps + 1)]


class Mixture:
    """Towers of the tuned model's kind that take any mixture of its weights and the base's; neither is touched.

    Args:
        base: The one model.
        tuned: The other, of the same architecture.
    """

    def __init__(self, base: ProbedModel, tuned: ProbedModel) -> None:
        kinds: tuple[Kind, ...] = ("query", "document")
        self.ends = {kind: (base.tower(kind), tuned.tower(kind)) for kind in kinds}
        copies: dict[tuple[int, int], TransformerTower] = {}
        self.towers: dict[Kind, TransformerTower] = {}
        for kind, towers in self.ends.items():
            pair = (id(towers[0]), id(towers[1]))
            if pair not in copies:  # one tower for both sides stays one
                copies[pair] = copy.deepcopy(towers[1])
            self.towers[kind] = copies[pair]

    def tower(self, kind: Kind, tuned_share: tuple[float, ...]) -> TransformerTower:
        """Give the tower of one side with a mixture of weights; the next call changes it.

        Args:
            kind: The side.
            tuned_share: How much of the tuned model's weights each unit has; layers around the pooling belong to the last.
        """
        base, tuned = (end.state_dict() for end in self.ends[kind])
        backbone = self.ends[kind][1].backbone
        depth = backbone.config.num_hidden_layers
        layers = {f"backbone.{name}": unit for name, unit in units_of(backbone).items() if unit <= depth}
        mixed = {name: mix(base[name], weight, tuned_share[layers.get(name, -1)]) for name, weight in tuned.items()}
        self.towers[kind].load_state_dict(mixed)
        return self.towers[kind]


def mix(base: Tensor, tuned: Tensor, tuned_share: float) -> Tensor:
    """Interpolate two weights; at 0 and 1 the result has their very bits."""
    if tuned_share in (0.0, 1.0) or not tuned.is_floating_point():
        return tuned if tuned_share else base
    return (1 - tuned_share) * base + tuned_share * tuned


def ends_with_weights(tower: TransformerTower) -> bool:
    """Whether there are weights after a tower's layers: a last normalisation, a projection."""
    depth = tower.backbone.config.num_hidden_layers
    layers = [*tower.token_layers.parameters(), *tower.projections.parameters()]
    return len(layers) > 0 or depth + 1 in units_of(tower.backbone).values()


def weights_of(tower: TransformerTower) -> Mapping[str, tuple[int, ...]]:
    """Give the names and shapes of all of a tower's weights, projections included."""
    return {name: tuple(weight.shape) for name, weight in tower.state_dict().items()}
