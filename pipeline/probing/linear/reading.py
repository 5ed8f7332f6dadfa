"""How the linear probe reads texts: cut to other lengths for questions and documents, titles joined as it is told."""

import copy
from collections.abc import Mapping
from dataclasses import replace

from pipeline.encoders.architecture import position_limit
from pipeline.encoders.backbones import Kind
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.models import ProbedModel

KINDS: tuple[Kind, Kind] = ("query", "document")


def as_read(model: ProbedModel, lengths: Mapping[Kind, int] | None, title_separator: str | None) -> ProbedModel:
    """Give a model whose towers read texts in another way, with the same weights.

    Args:
        model: The model; it stays as it is.
        lengths: Tokens that texts are cut to, or as many as the model can take; None: as the model does.
        title_separator: What stands between title and text; None: what the model has.
    """
    towers = [
        _as_read(model.tower(kind), None if lengths is None else lengths[kind], title_separator) for kind in KINDS
    ]
    return replace(model, encoder=DualEncoder(*towers), side="both")


def _as_read(tower: TransformerTower, length: int | None, title_separator: str | None) -> TransformerTower:
    tower = copy.copy(tower)
    if length is not None:
        tower.tokenizer = tower.tokenizer.cut_to(min(length, position_limit(tower.backbone) or length))
    if title_separator is not None:
        tower.title_separator = title_separator
    return tower


def reading(models: Mapping[str, ProbedModel], lengths: Mapping[Kind, int] | None) -> str:
    """Say where texts are cut and how titles are joined.

    Args:
        models: As they read.
        lengths: What was asked for.
    """
    cut = {name: tuple(model.tower(kind).max_length for kind in KINDS) for name, model in models.items()}
    said = ", ".join(f"{name} {query} and {document}" for name, (query, document) in cut.items())
    separators = {model.tower("document").title_separator for model in models.values()}
    joined = " or ".join(repr(separator) for separator in sorted(separators))
    wished = "" if lengths is None else f"; asked for are {lengths['query']} and {lengths['document']}"
    short = lengths is not None and any(one != (lengths["query"], lengths["document"]) for one in cut.values())
    more = f"{wished}, which the model cannot take" if short else ""
    return f"Questions and documents are cut at so many tokens: {said}{more}; titles and texts are joined by {joined}."
