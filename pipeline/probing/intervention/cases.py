"""Which edits are tried on a model: for every fact its own, or one that was asked for, each beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.encoders.backbones import Kind
from pipeline.files import digest_of
from pipeline.probing.intervention.edited_retrieval import Edits
from pipeline.probing.intervention.edits import Action, Edit, Place, Unit, sizes_of
from pipeline.probing.intervention.fact_neurons import FactNeurons
from pipeline.probing.intervention.facts import Fact
from pipeline.probing.intervention.selections import Seed, at_random, knowledge_neurons, of_equal_activity

ATTRIBUTED, GIVEN, RANDOM, EQUALLY_ACTIVE = "attributed", "given", "random", "equally active"
"""How the parts that are edited were chosen."""


@dataclass(frozen=True)
class Plan:
    """What is done to parts, and how parts are chosen.

    Attributes:
        action: What is done.
        unit: To what.
        factor: What `amplify` multiplies by.
        neurons: At most so many are attributed to one fact.
        threshold: Of a text's largest attribution, which a neuron must exceed.
        share: Of the texts about a fact in which it must.
        control_seeds: How often each control is drawn.
        seed: Where the seeds of the controls begin.
    """

    action: Action
    unit: Unit
    factor: float
    neurons: int
    threshold: float
    share: float
    control_seeds: int
    seed: int

    def edit(self, places: tuple[Place, ...]) -> Edit:
        """Do it to these places."""
        return Edit(self.action, self.unit, places, self.factor)


@dataclass(frozen=True)
class Case:
    """One edit that is tried, with its controls.

    Attributes:
        facts: Whose queries it affects.
        held_out: Ids of its queries that attribution did not see.
        places: What is edited, by the kind of text whose tower it is.
        edits: From how the parts were chosen to edits: one, or as many as seeds.
    """

    facts: tuple[Fact, ...]
    held_out: tuple[str, ...]
    places: dict[Kind, tuple[Place, ...]]
    edits: dict[str, list[Edits]]

    @property
    def affected(self) -> tuple[str, ...]:
        """Ids of the queries of its facts, each once."""
        return tuple(dict.fromkeys(query for fact in self.facts for query in fact.queries))


def case_of_fact(fact: Fact, towers: Sequence[FactNeurons], plan: Plan) -> Case | None:
    """Choose the neurons of one fact; None where the texts about it have none in common in a tower."""
    found = [knowledge_neurons(tower.attributions(fact), plan.threshold, plan.share, plan.neurons) for tower in towers]
    return _case(ATTRIBUTED, (fact,), towers, found, plan) if all(found) else None


def case_of_places(facts: Sequence[Fact], towers: Sequence[FactNeurons], places: tuple[Place, ...], plan: Plan) -> Case:
    """Take the parts that were asked for, in every tower."""
    return _case(GIVEN, tuple(facts), towers, [places] * len(towers), plan)


def control_places(
    facts: Sequence[Fact], tower: FactNeurons, places: tuple[Place, ...], unit: Unit, seeds: Sequence[Seed]
) -> dict[str, list[tuple[Place, ...] | None]]:
    """Draw controls for some places of one tower; None where too few other parts are left.

    Layers have no control of equal activity: what a layer does cannot be compared with another's.
    """
    sizes = sizes_of(tower.tower.backbone, unit)
    drawn = {RANDOM: [at_random(sizes, places, seed) for seed in seeds]}
    if unit != "layers":
        activity = tower.activity(list(facts), unit)
        drawn[EQUALLY_ACTIVE] = [of_equal_activity(activity, places, seed) for seed in seeds]
    return drawn


def seeds_of(facts: Sequence[Fact], plan: Plan) -> list[Seed]:
    """Give the seeds of the controls; facts have their own, so that those of different facts are independent."""
    own = int(digest_of([fact.document for fact in facts])[:8], 16)
    return [(seed, own) for seed in range(plan.seed, plan.seed + plan.control_seeds)]


def _case(
    selection: str,
    facts: tuple[Fact, ...],
    towers: Sequence[FactNeurons],
    places: Sequence[tuple[Place, ...]],
    plan: Plan,
) -> Case:
    """Put an edit beside its controls, as far as they can be drawn."""
    by_kind = {kind: chosen for tower, chosen in zip(towers, places, strict=True) for kind in tower.kinds}
    edits: dict[str, list[Edits]] = {selection: [{kind: plan.edit(chosen) for kind, chosen in by_kind.items()}]}
    seeds = seeds_of(facts, plan)
    drawn = [
        control_places(facts, tower, chosen, plan.unit, seeds) for tower, chosen in zip(towers, places, strict=True)
    ]
    for control in drawn[0]:
        for position in range(len(seeds)):
            chosen_by_kind = {
                kind: controls[control][position]
                for tower, controls in zip(towers, drawn, strict=True)
                for kind in tower.kinds
            }
            if all(chosen_by_kind.values()):
                edit: Edits = {kind: plan.edit(chosen) for kind, chosen in chosen_by_kind.items() if chosen}
                edits.setdefault(control, []).append(edit)
    held_out = tuple(query for fact in facts for query in fact.queries if query not in fact.shown)
    return Case(facts, held_out if selection == ATTRIBUTED else (), by_kind, edits)
