"""Putting towers together out of choices: a backbone, a pooling, settings, and what serves the queries."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from pipeline.checks import whole_number
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Backbone, Kind
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.layout import Similarity
from pipeline.encoders.own_settings import OwnSettings
from pipeline.encoders.pooling import Own, Pooling
from pipeline.encoders.projection import Layer, Projection
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError


@dataclass
class EncoderSettings:
    """What holds for both towers; None means the checkpoint's own: saved in its folder, or published with it.

    Args:
        projection: Dimension of a new linear layer after the others; None for no such layer.
        similarity: `cosine` (vectors are normalised) or `dot`; cosine where the checkpoint has none of its own.
        max_length: Tokens a text is cut to.
        query_prompt: Put before every query; nothing where the checkpoint has none of its own.
        document_prompt: Put before every document; the same.
        append_eos: Whether every text ends with the end-of-sequence token, beside what the tokenizer does by itself.
        title_separator: Stands between a document's title and text.

    Raises:
        UserError: When a value cannot be meant.
    """

    projection: int | None = None
    similarity: Similarity | None = None
    max_length: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    append_eos: bool | None = None
    title_separator: str | None = None

    def __post_init__(self) -> None:
        for name in ("projection", "max_length"):
            if getattr(self, name) is not None:
                whole_number(f"encoder.{name}", getattr(self, name))
        for name in ("query_prompt", "document_prompt", "title_separator"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise UserError(f"encoder.{name}={value} must be text; write it in quotes, as '\"{value}\"'.")
        if self.append_eos is not None and not isinstance(self.append_eos, bool):
            raise UserError(f"encoder.append_eos={self.append_eos} must be true, false or null.")


@dataclass(frozen=True)
class Parts:
    """What both towers are made of.

    Attributes:
        backbone: Where the document tower's transformer comes from.
        pooling: How token states become one vector, or the wish for its own.
        settings: What holds for both towers.
        seed: What random weights are drawn from.
        texts: Training texts, whose words say which tokens are rare; none where nothing is trained.
        store: The folder shared between runs, for what takes long to make; None keeps nothing.
        encoding: How a vocabulary is encoded.
    """

    backbone: Backbone
    pooling: Pooling | Own
    settings: EncoderSettings
    seed: int
    texts: Sequence[Texts] = ()
    store: Path | None = None
    encoding: EncodingSettings = field(default_factory=EncodingSettings)

    def tower(self, kind: Kind) -> TransformerTower:
        """Build a tower of the backbone for one side."""
        return build_tower(self.backbone, self.pooling, self.settings, kind, self.seed)


class QueryTower(ABC):
    """What serves the queries beside a document tower.

    Attributes:
        own_weights: Whether it has any that the document tower does not have.
    """

    own_weights: ClassVar[bool] = True

    def require(self, backbone: Backbone) -> None:  # noqa: B027 - most go with any
        """Refuse a backbone that it does not go with, before its weights are read.

        Raises:
            UserError: Saying what does.
        """

    def copies(self, backbone: Backbone) -> bool:
        """Whether the query tower begins as a copy of the document tower, found out from the choices alone."""
        return False

    @abstractmethod
    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the query tower and the document tower.

        Raises:
            UserError: When the two do not go together.
        """


class Shared(QueryTower):
    """One tower for queries and documents."""

    own_weights = False

    def require(self, backbone: Backbone) -> None:
        """Refuse two checkpoints."""
        if backbone.twin_only:
            raise UserError(f"backbone={backbone.name} has two checkpoints, one for each side; choose query=twin.")

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make one tower, twice the same object."""
        self.require(parts.backbone)
        tower = parts.tower("document")
        return tower, tower


class Twin(QueryTower):
    """A query tower with weights of its own, made as the document tower is."""

    def copies(self, backbone: Backbone) -> bool:
        """Both begin as one checkpoint, unless there are two."""
        return not backbone.twin_only

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make two towers."""
        return parts.tower("query"), parts.tower("document")


def build_dual_encoder(
    backbone: Backbone,
    pooling: Pooling | Own,
    query: QueryTower,
    settings: EncoderSettings | None = None,
    seed: int = 0,
    texts: Sequence[Texts] = (),
    store: Path | None = None,
    encoding: EncodingSettings | None = None,
) -> DualEncoder:
    """Build both towers.

    Args:
        backbone: Where the transformers come from.
        pooling: How token states become one vector, or the wish for its own.
        query: What serves the queries.
        settings: What holds for both towers.
        seed: What random weights (of a fresh backbone, of a projection) are drawn from.
        texts: Training texts, for query towers that weigh tokens by their rarity.
        store: The folder shared between runs, for what takes long to make.
        encoding: How query towers of token vectors encode a vocabulary.

    Raises:
        UserError: When the choices do not go together.
    """
    settings, encoding = settings or EncoderSettings(), encoding or EncodingSettings()
    return DualEncoder(*query.towers(Parts(backbone, pooling, settings, seed, texts, store, encoding)))


def build_tower(
    backbone: Backbone,
    pooling: Pooling | Own,
    settings: EncoderSettings,
    kind: Kind,
    seed: int,
    query_prompt: str = "",
) -> TransformerTower:
    """Build the tower of one side: as the checkpoint says of itself, unless the choices name another, which is noted.

    Args:
        backbone: Where the transformer comes from.
        pooling: How token states become one vector, or the wish for the checkpoint's own.
        settings: What holds for both towers.
        kind: The side that the tower is for.
        seed: What random weights are drawn from.
        query_prompt: Put before every query where neither the settings nor the checkpoint name one.

    Raises:
        UserError: When the backbone cannot be loaded, or its folder has not saved what is asked of it.
    """
    loaded = backbone.load(kind, seed, settings.max_length)
    tokenizer = loaded.tokenizer
    own = OwnSettings.of(backbone, loaded.layout, tokenizer.named_length)
    if _first(settings.append_eos, own.append_eos, False):
        tokenizer = tokenizer.with_eos(own.where)
    similarity: Similarity = _first(settings.similarity, own.similarity, "cosine")
    before, after = loaded.token_layers, loaded.layers_after_pooling(similarity)
    token_layers, projections = (
        _layers(layers, backbone, seed, own.keeps_layers(pooling)) for layers in (before, after)
    )
    tower = TransformerTower(
        loaded.model,
        tokenizer,
        own.pooling_for(pooling),
        projections,
        similarity,
        {
            "query": _first(settings.query_prompt, own.query_prompt, query_prompt),
            "document": _first(settings.document_prompt, own.document_prompt, ""),
        },
        _first(settings.title_separator, own.title_separator, " "),
        None if loaded.layout is None else loaded.layout.selection,
        token_layers,
    )
    if settings.projection is not None:
        tower.projections.append(Projection.fresh(tower.dimension, settings.projection, seed))
    named = {name: value for name, value in asdict(settings).items() if name != "projection"}
    tower.notes += own.notes(pooling, named, len(before) + len(after))
    tower.drawn += ["transformer"] if backbone.init == "random" else []
    tower.drawn += ["projection"] if settings.projection is not None else []
    return tower


Value = TypeVar("Value")


def _first(*values: Value | None) -> Value:
    """The first that is given."""
    return next(value for value in values if value is not None)


def _layers(layers: Sequence[Layer], backbone: Backbone, seed: int, kept: bool) -> list[Layer]:
    """Give the checkpoint's own layers around its pooling, where that is kept."""
    if not kept:
        return []
    return [layer.drawn_anew(seed) for layer in layers] if backbone.init == "random" else list(layers)
