"""Putting towers together out of choices: a backbone, a pooling, settings, and what serves the queries."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pipeline.checks import whole_number
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Backbone, Kind, Loaded
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.layout import Similarity
from pipeline.encoders.pooling import AsSaved, Pooling
from pipeline.encoders.projection import Projection
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError


@dataclass
class EncoderSettings:
    """What holds for both towers; None means what the backbone's folder was saved with, or else nothing special.

    Args:
        projection: Dimension of a linear layer after the pooling; None for no such layer.
        similarity: `cosine` (vectors are normalised) or `dot`; None: the folder's or the backbone's own.
        max_length: Tokens a text is cut to; None: the checkpoint's own.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        append_eos: End every text with the end-of-sequence token.
        title_separator: Stands between a document's title and text; None: the folder's or the backbone's own.

    Raises:
        UserError: When a value cannot be meant.
    """

    projection: int | None = None
    similarity: Similarity | None = None
    max_length: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    append_eos: bool = False
    title_separator: str | None = None

    def __post_init__(self) -> None:
        for name in ("projection", "max_length"):
            if getattr(self, name) is not None:
                whole_number(f"encoder.{name}", getattr(self, name))
        for name in ("query_prompt", "document_prompt", "title_separator"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise UserError(f"encoder.{name}={value} must be text; write it in quotes, as '\"{value}\"'.")
        if not isinstance(self.append_eos, bool):
            raise UserError(f"encoder.append_eos={self.append_eos} must be true or false.")


@dataclass(frozen=True)
class Parts:
    """What both towers are made of.

    Attributes:
        backbone: Where the document tower's transformer comes from.
        pooling: How token states become one vector, or `AsSaved`.
        settings: What holds for both towers.
        seed: What random weights are drawn from.
        texts: Training texts, whose words say which tokens are rare; none where nothing is trained.
        store: The folder shared between runs, for what takes long to make; None keeps nothing.
        encoding: How a vocabulary is encoded.
    """

    backbone: Backbone
    pooling: Pooling | AsSaved
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
    pooling: Pooling | AsSaved,
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
        pooling: How token states become one vector, or `AsSaved`.
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
    backbone: Backbone, pooling: Pooling | AsSaved, settings: EncoderSettings, kind: Kind, seed: int
) -> TransformerTower:
    """Build the tower of one side.

    Raises:
        UserError: When the backbone cannot be loaded, or its folder has not saved what is asked of it.
    """
    loaded = backbone.load(kind, seed, settings.max_length)
    tokenizer, saved = loaded.tokenizer, loaded.layout
    if settings.append_eos:
        tokenizer = tokenizer.with_eos(str(backbone.path or backbone.name))
    tower = TransformerTower(
        loaded.model,
        tokenizer,
        _pooling(pooling, loaded, backbone),
        _projections(pooling, loaded, backbone, settings, seed),
        settings.similarity or (saved.similarity if saved and isinstance(pooling, AsSaved) else backbone.similarity),
        {
            "query": _first(settings.query_prompt, saved.query_prompt if saved else None, ""),
            "document": _first(settings.document_prompt, saved.document_prompt if saved else None, ""),
        },
        _first(settings.title_separator, saved.title_separator if saved else None, backbone.title_separator),
        saved.selection if saved else None,
    )
    tower.drawn += ["transformer"] if backbone.init == "random" else []
    tower.drawn += ["projection"] if settings.projection is not None else []
    return tower


def _first(*values: str | None) -> str:
    """The first that is given."""
    return next(value for value in values if value is not None)


def _pooling(pooling: Pooling | AsSaved, loaded: Loaded, backbone: Backbone) -> Pooling:
    """Choose the pooling, the folder's own if so wished."""
    if not isinstance(pooling, AsSaved):
        return pooling
    if loaded.layout is None:
        raise UserError(
            f"pooling=as_saved: {backbone.path or backbone.name} is no sentence-transformers folder, so it has saved "
            "no pooling; choose cls, mean, last or max."
        )
    return loaded.layout.pooling


def _projections(
    pooling: Pooling | AsSaved, loaded: Loaded, backbone: Backbone, settings: EncoderSettings, seed: int
) -> list[Projection]:
    """Collect the folder's own layers, where the saved pooling is taken with all that follows it, and a new one."""
    projections = list(loaded.projections) if isinstance(pooling, AsSaved) or not loaded.layout else []
    if backbone.init == "random":
        projections = [
            Projection.fresh(old.inputs, old.outputs, seed, old.linear.bias is not None, old.activation_name)
            for old in projections
        ]
    if settings.projection is not None:
        width = projections[-1].outputs if projections else loaded.model.config.hidden_size
        projections.append(Projection.fresh(width, settings.projection, seed))
    return projections
