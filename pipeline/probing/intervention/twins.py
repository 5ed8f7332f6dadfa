"""The causal form: a model whose neurons are erased for good, beside twins that lost others or none.

What was erased from the weights must be learned again by fine-tuning, if it can be: Reichman and Heck (2024) claim that
it cannot. The twins are trained by one recipe, and `probe=relearning` looks for the facts again.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.feed_forward import feed_forwards, weight_of
from pipeline.encoders.saving import whole_folder
from pipeline.errors import UserError
from pipeline.files import write_json
from pipeline.probing.intervention.cases import EQUALLY_ACTIVE, Case, Plan, control_places
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.edits import Place, columns_of, reader
from pipeline.probing.intervention.fact_neurons import FactNeurons

ERASED, RANDOM_TWIN, UNEDITED = "erased", "random", "unedited"
GROUPS = "groups.json"

Removed = Sequence[tuple[FactNeurons, tuple[Place, ...]]]
"""Which neurons of which tower."""


def require_writable(folder: Path, plan: Plan) -> None:
    """Refuse, before anything is computed, to write twins of something else than erased neurons, or over something.

    Raises:
        UserError: Saying which setting to change.
    """
    if plan.action != "erase" or plan.unit != "neurons":
        raise UserError(
            "probe.write writes a model whose neurons are erased; use it with probe.action=erase, probe.unit=neurons."
        )
    if folder.exists():
        raise UserError(f"probe.write={folder} exists; give another folder, or remove it.")


def write_twins(
    folder: Path,
    retrieval: EditedRetrieval,
    towers: Sequence[FactNeurons],
    cases: Sequence[Case],
    controls: Sequence[str],
) -> str:
    """Write the model three times, and what was taken from it: whole or not at all.

    `erased` lost the neurons of all facts, `random` as many others of equal activity, `unedited` none.

    Args:
        folder: Where to.
        retrieval: Whose model.
        towers: Those that are edited.
        cases: What is erased from each.
        controls: Ids of the control queries.

    Returns:
        A sentence about it.

    Raises:
        UserError: When a layer has too few other neurons for the random twin.
    """
    facts = [fact for case in cases for fact in case.facts]
    erased: list[tuple[FactNeurons, tuple[Place, ...]]] = []
    others: list[tuple[FactNeurons, tuple[Place, ...]]] = []
    for tower in towers:
        places = tuple(sorted({place for case in cases for place in case.places[tower.kinds[0]]}))
        control = control_places(facts, tower, places, "neurons", [retrieval.subject.seed])[EQUALLY_ACTIVE][0]
        if control is None:
            raise UserError(
                f"{len(places)} erased neurons leave too few others in a layer for the random twin; lower probe.neurons"
                " or probe.facts."
            )
        erased.append((tower, places))
        others.append((tower, control))
    with whole_folder(folder) as beside:
        for name, removed in ((ERASED, erased), (RANDOM_TWIN, others), (UNEDITED, [])):
            _without(retrieval, removed).save(beside / name, _card(retrieval.model.name, name))
        write_json(beside / GROUPS, _groups(retrieval, cases, controls, erased, others))
    count = sum(len(places) for _, places in erased)
    shared = retrieval.model.tower("query") is retrieval.model.tower("document") and len(towers[0].kinds) == 1
    both = " One tower encodes both sides, so the twins encode documents without the neurons too." if shared else ""
    return (
        f"Written to {folder}: {retrieval.model.name} without the {count} neurons of {len(facts)} facts ({ERASED}),"
        f" without as many others of equal activity ({RANDOM_TWIN}), and as it is ({UNEDITED}).{both}"
    )


def _without(retrieval: EditedRetrieval, removed: Removed) -> DualEncoder:
    """Copy the model, with the columns of `outer` that read some neurons set to 0.

    A model that is looked into by one of its sides is written as that side alone.
    """
    model = retrieval.model
    encoder = copy.deepcopy(DualEncoder(model.tower("query"), model.tower("document")))
    for tower, places in removed:
        copied: Any = encoder.tower(tower.kinds[0])
        for layer in range(len(feed_forwards(copied.backbone))):
            columns = columns_of(copied.backbone, "neurons", layer, places)
            with torch.no_grad():
                weight_of(reader(copied.backbone, "neurons", layer))[:, columns] = 0
    return encoder


def _groups(
    retrieval: EditedRetrieval, cases: Sequence[Case], controls: Sequence[str], erased: Removed, others: Removed
) -> dict[str, Any]:
    """Say what belongs to which fact."""
    subject = retrieval.subject
    facts = [
        {"document": fact.document, "queries": list(fact.queries), "neurons": _listed(case.places)}
        for case in cases
        for fact in case.facts
    ]
    return {
        "model": retrieval.model.name,
        "dataset": subject.dataset.name,
        "split": subject.split.name,
        "facts": facts,
        "control": list(controls),
        **{
            name: _listed({kind: places for tower, places in removed for kind in tower.kinds})
            for name, removed in ((ERASED, erased), (RANDOM_TWIN, others))
        },
    }


def _listed(places: Any) -> dict[str, list[list[int]]]:
    return {kind: np.array(chosen).tolist() for kind, chosen in places.items()}


def _card(model: str, name: str) -> str:
    """Write the model card of one twin."""
    lost = {
        ERASED: "without the feed-forward neurons of some facts",
        RANDOM_TWIN: "without as many feed-forward neurons that belong to no such fact",
        UNEDITED: "as it is, beside twins that lost neurons",
    }[name]
    return f"# {model}, {lost}\n\nMade to be fine-tuned: is what was erased learned again? See `{GROUPS}` above.\n"
