"""The layout of a sentence-transformers folder: what each of its modules says, and how its vectors are to be used."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.encoders.modules import KINDS, MODULES, Kind, Module, is_pair, read_modules
from pipeline.encoders.pooling import Pooling
from pipeline.encoders.projection import Layer, Normalize
from pipeline.encoders.saved_modules import LAYERS, is_over_tokens, read_pooling
from pipeline.encoders.selection import SCORES, TokenSelection
from pipeline.encoders.transformer_settings import read_transformer_settings
from pipeline.errors import UserError
from pipeline.files import read_object, require_kinds

Similarity = Literal["cosine", "dot"]

SETTINGS = "config_sentence_transformers.json"
OUR_SETTINGS = "tandem"
"""The key, in `config_sentence_transformers.json`, of what that format has no place for."""

DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""The names that models give a document's prompt; the first that is not empty counts.

sentence-transformers looks in the same order but stops at an empty `document`, which it adds to every model itself, so
that a model whose prompt is called `passage` would lose it.
"""


@dataclass
class Conventions:
    """How the vectors of a sentence-transformers folder are to be used.

    Attributes:
        similarity: What they are compared by; cosine where the folder does not say.
        similarity_named: Whether it says so, in its settings or by ending in Normalize.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        title_separator: Stands between a document's title and text; None where the folder does not say.
        notes: What is to be said of how that was read.
    """

    similarity: Similarity
    similarity_named: bool
    query_prompt: str
    document_prompt: str
    title_separator: str | None
    notes: list[str]


@dataclass
class Layout(Conventions):
    """What a sentence-transformers folder says beside the transformer itself.

    `normalized` is whether a Normalize ends it that is not among the projections, as the cosine similarity says it.
    """

    transformer: Path
    pooling: Pooling
    token_layers: list[Layer] = field(default_factory=list)
    projections: list[Layer] = field(default_factory=list)
    max_length: int | None = None
    lowercase: bool = False
    selection: TokenSelection | None = None
    normalized: bool = False


def read_layout(folder: Path, kind: Kind) -> Layout | None:
    """Read a folder's layout, or give None where it is a plain transformers folder.

    Args:
        folder: The folder.
        kind: The side, which makes a difference where a Router has modules for each.

    Raises:
        UserError: When a module is missing, half-written or of a kind that is not known here.
    """
    if not (folder / MODULES).exists():
        return None
    _whole_settings(folder)  # first, as what is no model of single vectors has other modules too
    transformer, *modules = modules_from_transformer(folder, kind)
    token_layers, pooling, projections = _arranged(modules, folder / MODULES)
    settings = read_transformer_settings(transformer.folder)
    selection = TokenSelection.load(transformer.folder)
    if transformer.selective and selection is None:
        path = transformer.folder / SCORES
        raise UserError(f"{path} is missing, so {folder} is only half written; save or copy it again.")
    conventions = read_conventions(folder, ends_normalized(folder))
    normalized = False
    while conventions.similarity == "cosine" and projections and isinstance(projections[-1], Normalize):
        normalized = bool(projections.pop())
    return Layout(
        **vars(conventions),
        transformer=transformer.folder,
        pooling=pooling,
        token_layers=token_layers,
        projections=projections,
        selection=selection,
        normalized=normalized,
        **vars(settings),
    )


def modules_from_transformer(folder: Path, kind: Kind) -> list[Module]:
    """Read the modules of one side, the first of which is a transformer.

    Raises:
        UserError: When it is a table of token vectors; the sentence names what of the folder may be a backbone.
    """
    modules = read_modules(folder, kind)
    if modules[0].kind == "Transformer":
        return modules
    if not is_pair(folder):
        raise UserError(f"{folder} is a static tower, of token vectors alone, and has no transformer to start from.")
    other = folder / ("document" if kind == "query" else "query")
    alone = f"take the {other.name} tower alone, backbone.path={other}" if (other / MODULES).exists() else ""
    raise UserError(
        f"The {kind} tower of {folder} is of token vectors alone and has no transformer to start from;"
        f" {alone or 'choose another model'}."
    )


def ends_normalized(folder: Path) -> bool:
    """Whether vectors of both sides have the length 1 after the last module that does anything with them."""
    return all(_last(read_modules(folder, kind)).kind == "Normalize" for kind in KINDS)


def _last(modules: list[Module]) -> Module:
    """Find the last module for vectors; dropout is for training alone."""
    return [module for module in modules if module.kind != "Dropout" and not is_over_tokens(module)][-1]


def _arranged(modules: list[Module], where: Path) -> tuple[list[Layer], Pooling, list[Layer]]:
    """Follow the modules after the transformer in their order.

    Returns:
        Layers before the pooling, the pooling, and layers after it.
    """
    tokens: list[Layer] = []
    found: tuple[list[Layer], Pooling, list[Layer]] | None = None
    for module in modules:
        if module.kind == "Pooling":
            found = [*tokens], read_pooling(module), []  # one before it would be overwritten, with all that followed
        elif module.kind in LAYERS:
            layer, over_tokens = LAYERS[module.kind](module), is_over_tokens(module)
            if over_tokens:
                tokens.append(layer)
            elif found is None:
                raise UserError(f"{where} puts {module.folder.name} before the Pooling, where there is no vector yet.")
            else:
                found[2].append(layer)
        elif module.kind != "Dropout":
            raise UserError(f"{where} has a second {module.kind} module, after others, which is not known here.")
    if found is None:
        raise UserError(f"{where} names no Pooling module.")
    return found


def read_conventions(folder: Path, normalized: bool) -> Conventions:
    """Read prompts and similarity; old folders may say nothing of them.

    Args:
        folder: Holds `config_sentence_transformers.json`, or not.
        normalized: Whether its modules end with normalised vectors.

    Raises:
        UserError: When vectors are to be compared or cut in a way that is not known here.
    """
    path, settings = folder / SETTINGS, _whole_settings(folder)
    query, document, notes = _prompts(settings, path)
    return Conventions(
        similarity=_similarity(settings, normalized, path),
        similarity_named=normalized or settings.get("similarity_fn_name") is not None,
        query_prompt=query,
        document_prompt=document,
        title_separator=(settings.get(OUR_SETTINGS) or {}).get("title_separator"),
        notes=notes,
    )


def _whole_settings(folder: Path) -> dict[str, Any]:
    """Read what holds for the whole model, after refusing what would make of it anything but one whole vector a text."""
    path = folder / SETTINGS
    kinds = {"prompts": dict, OUR_SETTINGS: dict, "default_prompt_name": str, "similarity_fn_name": str}
    settings = read_object(path, **kinds) if path.exists() else {}
    for name, known in (("model_type", ("SentenceTransformer",)), ("truncate_dim", ())):
        if settings.get(name) is not None and settings[name] not in known:
            raise UserError(f"{path} sets {name}={settings[name]}, which is not known here; choose another model.")
    return settings


def _similarity(settings: dict[str, Any], normalized: bool, path: Path) -> Similarity:
    """Read how vectors are compared; of normalised ones, dot product and distance rank as the cosine does.

    What was saved here is read to the letter: beside a tower of other lengths, one of normalised vectors stays at `dot`.
    """
    name = settings.get("similarity_fn_name") or "cosine"
    if name not in ("cosine", "dot") and not (name == "euclidean" and normalized):
        raise UserError(f"{path} compares vectors by similarity_fn_name={name}; known here are cosine and dot.")
    return "dot" if name == "dot" and (not normalized or OUR_SETTINGS in settings) else "cosine"


def _prompts(settings: dict[str, Any], path: Path) -> tuple[str, str, list[str]]:
    """Read the prompts of queries and documents; the default one counts for both where neither has its own.

    Returns:
        Both prompts, and a sentence where the library's `encode_query` and `encode_document` put others.
    """
    prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    require_kinds(f"{path} has the prompt", prompts, dict.fromkeys(prompts, str))
    if default is not None and default not in {*prompts, "query", "document"}:
        raise UserError(f"{path} names the default prompt {default!r} but has no such prompt; mend the file.")
    query = prompts.get("query") or ""
    document = next((prompts[name] for name in DOCUMENT_PROMPTS if prompts.get(name)), "")
    if not query and not document and prompts.get(default):
        note = (
            f'{path.parent} has "{prompts[default]}" as its default prompt: it is put before every query and document, as by'
            " sentence-transformers' encode, where its encode_query and encode_document leave it out."
        )
        return prompts[default], prompts[default], [note]
    if not document or prompts.get("document"):
        return query, document, []
    note = (
        f'{path.parent} has "{document}" for passages: it is put before every document, where encode_document of '
        "sentence-transformers leaves it out; encoder.document_prompt='' does so too."
    )
    return query, document, [note]
