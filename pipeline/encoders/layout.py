"""The layout of a sentence-transformers folder: which modules follow each other, and what each says."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file

from pipeline.encoders.folders import check_safetensors, refuse_pickle
from pipeline.encoders.pooling import Pooling, pooling_named
from pipeline.encoders.projection import Projection
from pipeline.encoders.selection import SCORES, SELECTIVE, TokenSelection
from pipeline.errors import UserError
from pipeline.files import read_json

Similarity = Literal["cosine", "dot"]

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
OUR_SETTINGS = "tandem"
"""The key, in `config_sentence_transformers.json`, of what that format has no place for."""

POOLING_NAMES = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""The names that models give a document's prompt; the first that is not empty counts.

sentence-transformers looks in the same order but stops at an empty `document`, which it adds to every model itself, so
that a model whose prompt is called `passage` would lose it.
"""


@dataclass
class Conventions:
    """How the vectors of a sentence-transformers folder are to be used."""

    similarity: Similarity
    query_prompt: str
    document_prompt: str
    title_separator: str | None


@dataclass
class Layout(Conventions):
    """What a sentence-transformers folder says beside the transformer itself."""

    folder: Path
    transformer: Path
    pooling: Pooling
    projections: list[Projection] = field(default_factory=list)
    max_length: int | None = None
    lowercase: bool = False
    selection: TokenSelection | None = None


def read_layout(folder: Path) -> Layout | None:
    """Read a folder's layout, or give None where it is a plain transformers folder.

    Raises:
        UserError: When a module is missing, half-written or of a kind that is not known here.
    """
    if not (folder / MODULES).exists():
        return None
    modules = _modules(folder)
    places = {_kind(module): folder / module["path"] for module in modules}
    if "Transformer" not in places or "Pooling" not in places:
        raise UserError(
            f"{folder / MODULES} names no {'Pooling' if 'Transformer' in places else 'Transformer'} module."
        )
    layout = Layout(
        **vars(read_conventions(folder)),
        folder=folder,
        transformer=places["Transformer"],
        pooling=_pooling(places["Pooling"]),
    )
    for module in modules:
        kind = _kind(module)
        if kind == "Dense":
            layout.projections.append(_projection(folder / module["path"]))
        elif kind not in ("Transformer", "Pooling", "Dropout", "Normalize"):
            raise UserError(
                f"{folder / MODULES} has a module {module['type']}, which is not known here; "
                "known are Transformer, Pooling, Dense, Normalize."
            )
    path = layout.transformer / "sentence_bert_config.json"
    transformer = read_json(path) if path.exists() else {}
    layout.max_length = transformer.get("max_seq_length")
    layout.lowercase = bool(transformer.get("do_lower_case", False))
    layout.selection = TokenSelection.load(folder)
    if layout.selection is None and any(module["type"] == SELECTIVE for module in modules):
        raise UserError(f"{folder / SCORES} is missing, so {folder} is only half written; save or copy it again.")
    return layout


def is_static(folder: Path) -> bool:
    """Whether a folder's vectors are looked up and not computed.

    Raises:
        UserError: When something that is not known here follows the look-up.
    """
    kinds = [_kind(module) for module in _modules(folder)] if (folder / MODULES).exists() else []
    if "StaticEmbedding" not in kinds:
        return False
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        raise UserError(
            f"{folder / MODULES} has {', '.join(kinds)}; known are StaticEmbedding alone, and Normalize after it."
        )
    return True


def static_folder(folder: Path) -> Path:
    """Find where a static folder keeps vectors and tokenizer."""
    return folder / _modules(folder)[0]["path"]


def _modules(folder: Path) -> list[dict[str, Any]]:
    return read_json(folder / MODULES)


def _kind(module: dict[str, Any]) -> str:
    return "Transformer" if module["type"] == SELECTIVE else str(module["type"]).rsplit(".", 1)[-1]


def _pooling(folder: Path) -> Pooling:
    """Read a pooling module, in the format of today or of before."""
    config = _config(folder)
    if "pooling_mode" in config:
        chosen = config["pooling_mode"]
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        names = [POOLING_NAMES.get(name, name) for name in names]
    else:
        names = [
            POOLING_FLAGS.get(flag, flag)
            for flag, on in config.items()
            if flag.startswith("pooling_mode_") and on is True
        ]
    if len(names) != 1 or names[0] not in POOLING_NAMES.values():
        raise UserError(
            f"{folder} pools by {' and '.join(names) or 'nothing'}; known are cls, mean, max and lasttoken, one of them."
        )
    if config.get("include_prompt", True) is False:
        raise UserError(
            f"{folder} leaves the prompt out of its pooling, which is not known here; choose another model."
        )
    return pooling_named(names[0])


def _projection(folder: Path) -> Projection:
    """Read a Dense module with its weights."""
    config = _config(folder)
    if config.get("use_residual"):
        raise UserError(f"{folder} has a residual connection, which is not known here; choose another model.")
    if not (folder / "model.safetensors").exists():
        refuse_pickle(str(folder), [path.name for path in folder.iterdir()])
    check_safetensors(folder / "model.safetensors")
    projection = Projection(
        config["in_features"],
        config["out_features"],
        config.get("bias", True),
        config.get("activation_function", "torch.nn.modules.activation.Tanh"),
    )
    weights = load_file(folder / "model.safetensors")
    here = {name: tuple(weight.shape) for name, weight in projection.state_dict().items()}
    there = {name: tuple(weight.shape) for name, weight in weights.items()}
    if here != there:
        raise UserError(f"{folder / 'model.safetensors'} holds {there} where {here} is expected; save the model again.")
    projection.load_state_dict(weights)
    return projection.float()


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder / 'config.json'} is missing, so {folder.parent} is only half written; save or copy it again."
        )
    return read_json(folder / "config.json")


def read_conventions(folder: Path) -> Conventions:
    """Read prompts and similarity; old folders may say nothing of them."""
    path = folder / SETTINGS
    settings = read_json(path) if path.exists() else {}
    prompts = settings.get("prompts") or {}
    normalized = any(_kind(module) == "Normalize" for module in _modules(folder))
    return Conventions(
        similarity="dot" if settings.get("similarity_fn_name") == "dot" and not normalized else "cosine",
        query_prompt=prompts.get("query") or "",
        document_prompt=next((prompts[name] for name in DOCUMENT_PROMPTS if prompts.get(name)), ""),
        title_separator=settings.get(OUR_SETTINGS, {}).get("title_separator"),
    )
