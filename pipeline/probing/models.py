"""Models as `probe.py` names them: each with its side and its pooling."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from torch import nn
from transformers import PreTrainedModel

from pipeline.checks import one_of, truth
from pipeline.encoders.architecture import blocks
from pipeline.encoders.backbones import Kind
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.padding import warn_where_padding_matters
from pipeline.encoders.pooling import Pooling, pooling_named
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError, nearest
from pipeline.evaluation.models import checked_settings, find_models
from pipeline.evaluation.names import require_file_names
from pipeline.folder_names import said_overrides

Side = Literal["query", "document", "both"]
SIDES = ("query", "document", "both")


@dataclass(frozen=True)
class ProbedModel:
    """A model that is looked into.

    Attributes:
        name: What tables and pictures call it.
        encoder: Its towers, both with a transformer inside.
        side: Which of its towers encodes: `query` or `document` for all texts, `both` for each its own.
        normalise: Whether the states of every layer are scaled to length 1.
        source: What it is: a run folder's name or a backbone's, and what was chosen of it.
        backbone: The name of `conf/backbone` that it was opened by; None for a folder.
    """

    name: str
    encoder: DualEncoder
    side: Side = "both"
    normalise: bool = False
    source: str = ""
    backbone: str | None = None

    def tower(self, kind: Kind) -> TransformerTower:
        """Give the tower that encodes queries or documents."""
        tower = self.encoder.tower(kind if self.side == "both" else self.side)
        assert isinstance(tower, TransformerTower)
        return tower

    @property
    def kinds(self) -> list[Kind]:
        """Whose texts its towers were made for: queries, documents or both."""
        return ["query", "document"] if self.side == "both" else [self.side]

    @property
    def depth(self) -> int:
        """Number of layers, the 0th not counted; of two unlike towers the smaller."""
        return min(len(blocks(self.tower(kind).backbone)) for kind in self.kinds)


@dataclass(frozen=True)
class Choice:
    """What the configuration says of one model.

    Attributes:
        model: A run folder, a model folder, a sentence-transformers folder or a name of `conf/backbone`.
        side: See `ProbedModel`.
        pooling: `cls`, `mean`, `last` or `max`; None takes the model's own.
        normalise: See `ProbedModel`.
        settings: What `train.py` would be told beside the backbone's name, such as `{backbone: {path: FOLDER}}`.
    """

    model: str
    side: str = "both"
    pooling: str | None = None
    normalise: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def open_models(models: DictConfig, trust_remote_code: bool) -> dict[str, ProbedModel]:
    """Open what the configuration names.

    Args:
        models: From a name to a folder or backbone, or to the fields of `Choice`.
        trust_remote_code: Whether a folder's own code may run.

    Raises:
        UserError: When there is none, one cannot be opened, or one has a tower without a transformer.
    """
    if not OmegaConf.is_dict(models) or not models:
        raise UserError("Name the models to look into: models='{base: minilm, tuned: outputs/demo/model}', or pair=….")
    truth("trust_remote_code", trust_remote_code)
    require_file_names("models", map(str, models))
    return {str(name): _open(str(name), _choice(str(name), entry), trust_remote_code) for name, entry in models.items()}


def _choice(name: str, entry: Any) -> Choice:
    """Read one entry."""
    if isinstance(entry, str):
        return Choice(entry)
    fields = OmegaConf.to_container(entry, resolve=True) if OmegaConf.is_dict(entry) else None
    if not isinstance(fields, dict) or "model" not in fields:
        raise UserError(f"models.{name} must be a folder, a backbone's name, or {{model: …, side: …, pooling: …}}.")
    for key in fields:
        if key not in Choice.__dataclass_fields__:
            raise UserError(f"models.{name}.{key!s} is not a setting; {nearest(str(key), Choice.__dataclass_fields__)}")
    checked_settings(f"models.{name}", fields.get("settings", {}))
    if not isinstance(fields.get("normalise", False), bool):
        raise UserError(f"models.{name}.normalise={fields['normalise']} must be true or false.")
    one_of(f"models.{name}.side", fields.get("side", "both"), SIDES)
    return Choice(**fields)  # type: ignore[arg-type]


def _open(name: str, choice: Choice, trust_remote_code: bool) -> ProbedModel:
    side: Kind | None = None if choice.side == "both" else choice.side  # type: ignore[assignment]
    pooling = None if choice.pooling is None else pooling_named(choice.pooling)
    (found,) = find_models([{"model": choice.model, "settings": choice.settings}])
    if pooling is not None and found.backbone is not None:
        found = replace(found, settings={**found.settings, "pooling": pooling.name})
    encoder = found.load(trust_remote_code, side)
    source = " ".join([found.backbone or found.name, *_chosen(choice)])
    probed = ProbedModel(name, encoder, choice.side, choice.normalise, source, found.backbone)  # type: ignore[arg-type]
    for kind in probed.kinds:
        tower = encoder.tower(kind)
        if not isinstance(tower, TransformerTower):
            raise UserError(
                f"models.{name}: the {kind} tower of {choice.model} has no layers to look into; choose"
                f" models.{name}.side={'document' if kind == 'query' else 'query'}, or another model."
            )
        if pooling is not None and pooling.name != tower.pooling.name:
            _pool_otherwise(tower, pooling, choice.model)
        warn_where_padding_matters(tower)
    return probed


def _pool_otherwise(tower: TransformerTower, pooling: Pooling, where: str) -> None:
    """Pool a saved tower in another way than it was saved with, without the layers that follow its own; and note it."""
    without = " without the layers that were saved after its own" if len(tower.projections) else ""
    tower.notes.append(
        f"{where} was saved with pooling={tower.pooling.name}; instead of that is taken pooling={pooling.name}{without}."
    )
    tower.pooling, tower.projections = pooling, nn.ModuleList()


def _chosen(choice: Choice) -> list[str]:
    """Say in short what tells a model from others of the same folder or backbone."""
    side = [choice.side] if choice.side != "both" else []
    backbone = choice.settings.get("backbone", {})
    said = said_overrides([f"{key}={value}" for key, value in backbone.items()])
    return [*side, *filter(None, [choice.pooling]), *(f"{key}={value}" for key, value in said.items())]


def require_alike(models: Mapping[str, ProbedModel], probe: str) -> None:
    """Refuse models that cannot be compared part by part.

    Args:
        models: By name.
        probe: Which probe asks, for the sentence.

    Raises:
        UserError: When two of them differ in architecture, depth, width or tokenizer; both are named.
    """
    (first_name, first), *others = models.items()
    for name, other in others:
        unlike = differences(first, other)
        if unlike:
            what, mine, theirs = unlike[0]
            raise UserError(
                f"probe={probe} compares models part by part, and {first_name} and {name} differ in {what}:"
                f" {mine} and {theirs}; {_MENDED.get(what, 'choose a pair of one architecture')}."
            )


def differences(first: ProbedModel, second: ProbedModel) -> list[tuple[str, Any, Any]]:
    """Name what two models differ in, part by part, the most telling first.

    Returns:
        What differs, as it is in the first, as it is in the second; empty for models of one architecture.
    """
    if first.side != second.side:
        return [("side", first.side, second.side)]
    return [unlike for kind in first.kinds for unlike in _differences(first.tower(kind), second.tower(kind))]


_MENDED = {
    "side": "give both the same side",
    "maximum length": "give both the same settings.encoder.max_length",
}
"""What to do about differences that are no matter of architecture."""


def _blocks_of(backbone: PreTrainedModel) -> dict[str, Any]:
    """Say what kind of blocks a transformer has and how many neurons in each, where they are known."""
    try:
        part = feed_forwards(backbone)[0]
    except UserError:
        return {"blocks": None, "neurons": getattr(backbone.config, "intermediate_size", None)}
    return {"blocks": part.family.name, "neurons": part.neurons}


def _differences(first: TransformerTower, second: TransformerTower) -> list[tuple[str, Any, Any]]:
    """Name what two towers differ in."""
    configs = first.backbone.config, second.backbone.config
    sizes: list[tuple[str, Any, Any]] = [
        (words, getattr(configs[0], key, None), getattr(configs[1], key, None))
        for words, key in (
            ("architecture", "model_type"),
            ("depth", "num_hidden_layers"),
            ("width", "hidden_size"),
            ("vocabulary", "vocab_size"),
        )
    ]
    blocks_of = [_blocks_of(tower.backbone) for tower in (first, second)]
    sizes += [(words, blocks_of[0][words], blocks_of[1][words]) for words in ("blocks", "neurons")]
    lengths: tuple[str, Any, Any] = ("maximum length", first.max_length, second.max_length)
    # A tokenizer's own file has its maximum length in it, which has just been compared.
    mine, theirs = (tower.tokenizer.cut_to(first.max_length).fingerprint()[:8] for tower in (first, second))
    return [unlike for unlike in [*sizes, ("tokenizer", mine, theirs), lengths] if unlike[1] != unlike[2]]
