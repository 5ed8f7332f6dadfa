"""The layout of a sentence-transformers folder: what each of its modules says, and how its vectors are to be used."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.encoders.modules import MODULES, Kind, Module, read_modules
from pipeline.encoders.pooling import Pooling, SideBySide, WithoutPrompt, pooling_named
from pipeline.encoders.projection import Layer, LayerNorm, Normalize, Projection
from pipeline.encoders.transformer_settings import read_transformer_settings
from pipeline.encoders.weight_files import read_weights
from pipeline.errors import UserError
from pipeline.files import read_json

Similarity = Literal["cosine", "dot"]

SETTINGS = "config_sentence_transformers.json"
OUR_SETTINGS = "tandem"
"""The key, in `config_sentence_transformers.json`, of what that format has no place for."""

POOLING_NAMES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
"""In the order in which sentence-transformers puts their vectors side by side."""

DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""The names that models give a document's prompt; the first that is not empty counts.

sentence-transformers looks in the same order but stops at an empty `document`, which it adds to every model itself, so
that a model whose prompt is called `passage` would lose it.
"""

VECTOR, TOKENS = "sentence_embedding", "token_embeddings"
"""What sentence-transformers calls a text's vector and the states of its tokens."""


@dataclass
class Conventions:
    """How the vectors of a sentence-transformers folder are to be used.

    Attributes:
        similarity: What they are compared by; cosine where the folder does not say.
        similarity_named: Whether it says so, in its settings or by ending in Normalize.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        title_separator: Stands between a document's title and text; None where the folder does not say.
    """

    similarity: Similarity
    similarity_named: bool
    query_prompt: str
    document_prompt: str
    title_separator: str | None


@dataclass
class Layout(Conventions):
    """What a sentence-transformers folder says beside the transformer itself."""

    transformer: Path
    pooling: Pooling
    token_layers: list[Layer] = field(default_factory=list)
    projections: list[Layer] = field(default_factory=list)
    max_length: int | None = None
    lowercase: bool = False


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
    transformer, *modules = read_modules(folder, kind)
    if transformer.kind != "Transformer":
        raise UserError(f"{folder} is a static tower, of token vectors alone, and has no transformer to start from.")
    token_layers, pooling, projections = _arranged(modules, folder / MODULES)
    settings = read_transformer_settings(transformer.folder)
    return Layout(
        **vars(read_conventions(folder, ends_normalized(modules))),
        transformer=transformer.folder,
        pooling=pooling,
        token_layers=token_layers,
        projections=projections,
        **vars(settings),
    )


def ends_normalized(modules: list[Module]) -> bool:
    """Whether vectors have the length 1 after the last module; dropout is for training alone."""
    kinds = [module.kind for module in modules if module.kind != "Dropout"]
    return kinds[-1:] == ["Normalize"]


def _arranged(modules: list[Module], where: Path) -> tuple[list[Layer], Pooling, list[Layer]]:
    """Follow the modules after the transformer in their order.

    Returns:
        Layers before the pooling, the pooling, and layers after it, without what normalises at the end: the similarity
        says so.
    """
    tokens: list[Layer] = []
    found: tuple[list[Layer], Pooling, list[Layer]] | None = None
    for module in modules:
        if module.kind == "Pooling":
            found = [*tokens], _pooling(module), []  # one before it would be overwritten, with all that followed
        elif module.kind in READERS:
            layer, over_tokens = READERS[module.kind](module), _over_tokens(module)
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
    while found[2] and isinstance(found[2][-1], Normalize):
        found[2].pop()
    return found


def _over_tokens(module: Module) -> bool:
    """Whether a module is laid over the states of tokens, and not over the vector.

    Raises:
        UserError: When it takes its input elsewhere, or puts its output elsewhere.
    """
    config = read_json(module.folder / "config.json") if (module.folder / "config.json").exists() else {}
    taken = config.get("module_input_name") or VECTOR
    given = config.get("module_output_name") or taken
    if taken not in (VECTOR, TOKENS) or given != taken:
        raise UserError(
            f"{module.folder} makes {given} of {taken}; known are layers that turn {VECTOR} or {TOKENS} into the same."
        )
    return taken == TOKENS


def _pooling(module: Module) -> Pooling:
    """Read a pooling module, in the format of today or of before."""
    config = module.config()
    if "pooling_mode" in config:
        chosen = config["pooling_mode"]
        names = [POOLING_NAMES.get(name, name) for name in ([chosen] if isinstance(chosen, str) else chosen)]
    else:
        on = [flag for flag, value in config.items() if flag.startswith("pooling_mode_") and value is True]
        order = [*POOLING_FLAGS]
        on.sort(key=lambda flag: order.index(flag) if flag in order else len(order))
        names = [POOLING_FLAGS.get(flag, flag) for flag in on] or ["mean"]
    if not set(names) <= set(POOLING_NAMES.values()):
        raise UserError(f"{module.folder} pools by {' and '.join(names)}; known are {', '.join(POOLING_NAMES)}.")
    poolings = [pooling_named(name) for name in names]
    pooling = poolings[0] if len(poolings) == 1 else SideBySide(poolings)
    if config.get("include_prompt", True):
        return pooling
    if "weighted_mean" in names:
        raise UserError(f"{module.folder} pools by weightedmean without the prompt, which is not known here.")
    return WithoutPrompt(pooling)


def _projection(module: Module) -> Projection:
    """Read a Dense module with its weights."""
    config = module.config()
    if config.get("use_residual"):
        raise UserError(f"{module.folder} has a residual connection, which is not known here; choose another model.")
    projection = Projection(
        config["in_features"],
        config["out_features"],
        config.get("bias", True),
        config.get("activation_function", "torch.nn.modules.activation.Tanh"),
    )
    _fill(projection, module.folder)
    return projection


def _layer_norm(module: Module) -> LayerNorm:
    """Read a LayerNorm module with its weights."""
    norm = LayerNorm(module.config()["dimension"])
    _fill(norm, module.folder)
    return norm


READERS: dict[str, Callable[[Module], Layer]] = {
    "Dense": _projection,
    "LayerNorm": _layer_norm,
    "Normalize": lambda module: Normalize(),
}
"""What reads a layer of each kind."""


def _fill(layer: Layer, folder: Path) -> None:
    """Put a module's weights into its layer."""
    weights = read_weights(folder)
    here = {name: tuple(weight.shape) for name, weight in layer.state_dict().items()}
    there = {name: tuple(weight.shape) for name, weight in weights.items()}
    if here != there:
        raise UserError(f"{folder} holds {there} where {here} is expected; save the model again.")
    layer.load_state_dict(weights)


def read_conventions(folder: Path, normalized: bool) -> Conventions:
    """Read prompts and similarity; old folders may say nothing of them.

    Args:
        folder: Holds `config_sentence_transformers.json`, or not.
        normalized: Whether its modules end with normalised vectors.

    Raises:
        UserError: When vectors are to be compared or cut in a way that is not known here.
    """
    path = folder / SETTINGS
    settings = read_json(path) if path.exists() else {}
    for name, known in (("model_type", ("SentenceTransformer",)), ("truncate_dim", ())):
        if settings.get(name) is not None and settings[name] not in known:
            raise UserError(f"{path} sets {name}={settings[name]}, which is not known here; choose another model.")
    query, document = _prompts(settings, path)
    return Conventions(
        similarity=_similarity(settings, normalized, path),
        similarity_named=normalized or settings.get("similarity_fn_name") is not None,
        query_prompt=query,
        document_prompt=document,
        title_separator=settings.get(OUR_SETTINGS, {}).get("title_separator"),
    )


def _similarity(settings: dict[str, Any], normalized: bool, path: Path) -> Similarity:
    """Read how vectors are compared; of normalised ones, dot product and distance rank as the cosine does."""
    name = settings.get("similarity_fn_name") or "cosine"
    if name not in ("cosine", "dot") and not (name == "euclidean" and normalized):
        raise UserError(f"{path} compares vectors by similarity_fn_name={name}; known here are cosine and dot.")
    return "dot" if name == "dot" and not normalized else "cosine"


def _prompts(settings: dict[str, Any], path: Path) -> tuple[str, str]:
    """Read the prompts of queries and documents; the default one counts for both where neither has its own."""
    prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if default is not None and default not in {*prompts, "query", "document"}:
        raise UserError(f"{path} names the default prompt {default!r} but has no such prompt; mend the file.")
    query = prompts.get("query") or ""
    document = next((prompts[name] for name in DOCUMENT_PROMPTS if prompts.get(name)), "")
    both = prompts.get(default) or "" if not query and not document else ""
    return query or both, document or both
