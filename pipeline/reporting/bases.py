"""What a run began from: which weights, and what may be said of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.errors import HydraException
from hydra.utils import get_class

from pipeline.evaluation.results import METRICS
from pipeline.files import read_json
from pipeline.reporting.cells import Cell
from pipeline.reporting.plurals import counted
from pipeline.reporting.settings import chosen, folder_name

Kind = Literal["random", "pre-trained", "tuned", "masked-LM", "under-trained", "fine-tuned before", "given"]
SEEN = {
    "Squad": "SQuAD",
    "Withheld": "SQuAD",
    "MsMarco": "MS MARCO",
    "PythonDocs": "docstrings of public code",
}
"""Classes of datasets, and what their texts are called where a backbone was tuned on the like."""
SQUAD_ITSELF = re.compile(r"(train|dev)-v\d\.\d|squad(?![a-z]).*", re.IGNORECASE)
"""What SQuAD's own files are called; others share its layout and its style of question, not its texts."""
PATHS = ("path", "train_path", "validation_path", "test_path")
WORDS: dict[Kind, str] = {
    "random": "random weights",
    "pre-trained": "pre-trained",
    "tuned": "tuned for retrieval before",
    "masked-LM": "masked-LM here",
    "under-trained": "masked-LM here, under-trained",
    "fine-tuned before": "fine-tuned before",
    "given": "of unknown history",
}


@dataclass(frozen=True)
class Base:
    """The weights that a training begins from.

    Attributes:
        name: The backbone and how much of it.
        kind: What was done to the weights before.
        architecture: What two bases share that differ in their weights only.
        tuned_on: What the published weights were tuned for retrieval on.
        frozen: Parts that training leaves as they are.
        drawn: Whether the weights were random before anything was done to them.
    """

    name: str
    kind: Kind
    architecture: tuple[str, ...]
    tuned_on: tuple[str, ...] = ()
    frozen: str = ""
    drawn: bool = False

    @property
    def weights(self) -> str:
        """What is known of the weights, in words."""
        if self.kind not in ("masked-LM", "under-trained"):
            return WORDS[self.kind]
        before = (
            " (from random weights)" if self.drawn else " (tuned for retrieval before that)" if self.tuned_on else ""
        )
        return WORDS[self.kind] + before

    @property
    def words(self) -> str:
        """Name it in a sentence."""
        began = " of random weights" if self.drawn else ""
        if self.kind == "random":
            return f"{self.name} with random weights"
        if self.kind == "masked-LM":
            return f"{self.name} after masked-LM pre-training{began}"
        if self.kind == "under-trained":
            return f"{self.name} after a masked-LM training{began} that learned too little"
        return self.name


def base_of(cell: Cell) -> Base:
    """Say what a run began from.

    A masked-LM training whose record does not say that it learned is never called pre-trained: an under-trained base can
    be worse than random weights.
    """
    backbone = cell.config.get("backbone") or {}
    layers = backbone.get("layers")
    path = str(backbone.get("path") or backbone.get("question_path") or "")
    name = chosen(cell.config, "backbone") or "backbone"
    if path and name == "local":
        name = folder_name(path)
    frozen = ", ".join(map(str, backbone.get("freeze") or []))
    full_name = name + (f", {counted(layers, 'layer')}" if layers else "") + (f", {frozen} frozen" if frozen else "")
    tuned_on = _tuned_on(str(backbone.get("_target_", "")))
    architecture = (str(backbone.get("_target_")), path, str(layers))
    kind = _kind(cell, backbone, path, bool(tuned_on))
    random = backbone.get("init") == "random"
    return Base(full_name, kind, architecture, () if random else tuned_on, frozen, random)


def warnings(begun: Iterable[tuple[Base, Cell]]) -> list[str]:
    """Say, once for each base, that what is called zero-shot is none where the weights were tuned for retrieval before.

    Args:
        begun: Runs, each with what it began from.
    """
    seen: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for base, cell in begun:
        if base.tuned_on:
            seen.setdefault((base.name, base.tuned_on), {})[_seen_here(base, cell)] = None
    return [
        f"{name} was tuned for retrieval before, on {', '.join(tuned_on)}; what it scores before fine-tuning is not "
        f"pre-training's alone.{''.join(here)}"
        for (name, tuned_on), here in seen.items()
    ]


def _seen_here(base: Base, cell: Cell) -> str:
    """Say how near the tested texts are to what a base was tuned on."""
    dataset = cell.config.get("dataset") or {}
    source = SEEN.get(str(dataset.get("_target_", "")).rpartition(".")[2])
    if source not in base.tuned_on:
        return ""
    name = cell.metrics["dataset"]
    if source == "SQuAD" and (dataset.get("rename_entities") or not _is_squad(name, dataset)):
        return f" For {name} it was tuned on questions of the same style ({source})."
    return f" On {name} its zero-shot is untrue: it was tuned on texts of this kind ({source})."


def _is_squad(name: str, dataset: Mapping[str, Any]) -> bool:
    given = [dataset.get(key) or [] for key in PATHS]
    paths = [str(path) for one in given for path in (one if isinstance(one, list) else [one])]
    stems = [path.rpartition("/")[2].removesuffix(".json") for path in paths]
    return any(SQUAD_ITSELF.fullmatch(word) for word in (name, *stems))


def _kind(cell: Cell, backbone: Mapping[str, Any], path: str, tuned: bool) -> Kind:
    if cell.config.get("pretraining") or cell.pretraining:
        return "masked-LM" if cell.pretraining.get("learned") else "under-trained"
    if backbone.get("init") == "random":
        return "random"
    if tuned:
        return "tuned"
    return _history(path) if str(backbone.get("_target_", "")).endswith(".Local") else "pre-trained"


def _history(path: str) -> Kind:
    """Ask the run folder that a local base came from, where it is still there."""
    for folder in (Path(path), Path(path).parent):
        if not (folder / METRICS).is_file():
            continue
        metrics = read_json(folder / METRICS)
        training = metrics.get("training") or {}
        if metrics.get("systems") and not training.get("steps") and "transformer" in training.get("drawn", ""):
            return "random"
        if metrics.get("systems"):
            return "fine-tuned before" if training.get("steps") else "given"
        return "masked-LM" if training.get("pretraining", {}).get("learned") else "under-trained"
    return "given"


def _tuned_on(target: str) -> tuple[str, ...]:
    """Ask a backbone's class what its weights were tuned on; a class that is gone says nothing."""
    try:
        return tuple(getattr(get_class(target), "tuned_on", ()))
    except (HydraException, ImportError, ValueError):
        return ()
