"""Putting towers together out of choices: a backbone, a pooling, settings, and what serves the queries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from pipeline.checks import whole_number
from pipeline.encoders.backbones import Backbone, Kind, Loaded
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.layout import Similarity
from pipeline.encoders.pooling import AsSaved, Pooling
from pipeline.encoders.projection import Projection
from pipeline.encoders.tower import Tower
from pipeline.errors import UserError


@dataclass
class EncoderSettings:
    """What holds for both towers; None means what the backbone's folder was saved with, or else nothing special.

    Args:
        projection: Dimension of a linear layer after the pooling; None for no such layer.
        similarity: `cosine` (vectors are normalised) or `dot`; None: the folder's, else cosine.
        max_length: Tokens a text is cut to; None: the checkpoint's own.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        append_eos: End every text with the end-of-sequence token.
        title_separator: Stands between a document's title and text; None: the backbone's, else a space.
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


MakeTower = Callable[[Kind], Tower]


class Shared:
    """One tower for queries and documents."""

    name = "shared"

    def tower(self, document: Tower, make: MakeTower, backbone: Backbone) -> Tower:
        """Give the document tower itself.

        Raises:
            UserError: When the backbone has a checkpoint of its own for queries.
        """
        if backbone.twin_only:
            raise UserError(f"backbone={backbone.name} has two checkpoints, one for each side; choose query=twin.")
        return document


class Twin:
    """A query tower with weights of its own, made as the document tower is."""

    name = "twin"

    def tower(self, document: Tower, make: MakeTower, backbone: Backbone) -> Tower:
        """Make a second tower."""
        return make("query")


def build_dual_encoder(
    backbone: Backbone,
    pooling: Pooling | AsSaved,
    query: Shared | Twin,
    settings: EncoderSettings | None = None,
    seed: int = 0,
    **values: Any,
) -> DualEncoder:
    """Build both towers.

    Args:
        backbone: Where the transformers come from.
        pooling: How token states become one vector, or `AsSaved`.
        query: What serves the queries.
        settings: What holds for both towers.
        seed: What random weights (of a fresh backbone, of a projection) are drawn from.
        values: The settings one by one, where none are given as a whole.

    Raises:
        UserError: When the choices do not go together.
    """
    chosen = settings or EncoderSettings(**values)
    document = build_tower(backbone, pooling, chosen, "document", seed)
    return DualEncoder(
        query.tower(document, lambda kind: build_tower(backbone, pooling, chosen, kind, seed), backbone), document
    )


def build_tower(
    backbone: Backbone, pooling: Pooling | AsSaved, settings: EncoderSettings, kind: Kind, seed: int
) -> Tower:
    """Build the tower of one side.

    Raises:
        UserError: When the backbone cannot be loaded, or its folder has not saved what is asked of it.
    """
    loaded = backbone.load(kind, seed, settings.max_length)
    tokenizer = (
        loaded.tokenizer.with_eos(str(backbone.path or backbone.name)) if settings.append_eos else loaded.tokenizer
    )
    saved = loaded.layout
    return Tower(
        loaded.model,
        tokenizer,
        _pooling(pooling, loaded, backbone),
        _projections(pooling, loaded, backbone, settings, seed),
        settings.similarity or (saved.similarity if saved and isinstance(pooling, AsSaved) else "cosine"),
        {
            "query": _first(settings.query_prompt, saved.query_prompt if saved else None, ""),
            "document": _first(settings.document_prompt, saved.document_prompt if saved else None, ""),
        },
        _first(settings.title_separator, saved.title_separator if saved else None, backbone.title_separator, " "),
    )


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
        projections = [_refreshed(projection, seed) for projection in projections]
    if settings.projection is not None:
        width = projections[-1].outputs if projections else loaded.model.config.hidden_size
        projections.append(Projection.fresh(width, settings.projection, seed))
    return projections


def _refreshed(projection: Projection, seed: int) -> Projection:
    """The same layer with weights drawn from the seed."""
    fresh = Projection.fresh(projection.inputs, projection.outputs, seed)
    if projection.linear.bias is None:
        fresh.linear = nn.Linear(projection.inputs, projection.outputs, bias=False)
    fresh.activation, fresh.activation_name = projection.activation, projection.activation_name
    return fresh
