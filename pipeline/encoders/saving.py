"""Writing a tower as a sentence-transformers folder, in the form that all its versions read."""

import inspect
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.layout import OUR_SETTINGS, SETTINGS
from pipeline.encoders.modules import MODULES
from pipeline.encoders.older_names import with_older_names
from pipeline.encoders.saved_modules import POOLING_FLAGS, POOLING_NAMES, TOKENS
from pipeline.encoders.selection import SELECTIVE
from pipeline.files import disk_errors, read_json, write_json

if TYPE_CHECKING:
    from pipeline.encoders.projection import Layer
    from pipeline.encoders.static_tower import StaticTower
    from pipeline.encoders.tower import Tower
    from pipeline.encoders.transformer_tower import TransformerTower


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder beside its place and move it there when it is complete; an older one is replaced.

    Args:
        folder: The final place.

    Yields:
        The folder to write into.
    """
    folder = Path(folder)
    beside, old = (folder.with_name(f".{folder.name}.{word}") for word in ("part", "old"))
    with disk_errors(folder):
        for leftover in (beside, old):
            shutil.rmtree(leftover, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            yield beside
            if folder.exists():
                folder.replace(old)
            beside.replace(folder)
        except SafetensorError as error:
            if "os error 28" in str(error):
                raise OSError(ENOSPC, str(error)) from error
            raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def save_static_tower(tower: "StaticTower", folder: Path, card: str) -> None:
    """Write a static tower's files into a folder; see `Tower.save`, which does so atomically."""
    modules = ["StaticEmbedding", *_normalize(tower)]
    _make(folder, modules)
    save_file({"embedding.weight": tower.folded().cpu()}, folder / "model.safetensors", metadata={"format": "pt"})
    # Its own file, truncation included: this module reads nothing else.
    (folder / "tokenizer.json").write_text(tower.tokenizer.backend.to_str(), encoding="utf-8")
    _finish(tower, modules, folder, card)


def save_transformer_tower(tower: "TransformerTower", folder: Path, card: str) -> None:
    """Write a transformer tower's files into a folder; see `Tower.save`, which does so atomically."""
    head = tower.head
    before, after = [[layer.kind for layer in layers] for layers in (head.token_layers, head.projections)]
    modules = [SELECTIVE if tower.selection else "Transformer", *before, "Pooling", *after, *_normalize(tower)]
    _, *paths = _make(folder, modules)
    _save_transformer(tower, folder)
    for layer in head.token_layers:
        _save_layer(layer, folder / paths.pop(0), {"module_input_name": TOKENS})
    write_json(folder / paths.pop(0) / "config.json", _pooling_config(tower))
    for layer in head.projections:
        _save_layer(layer, folder / paths.pop(0), {})
    if tower.selection:
        tower.selection.save(folder)
    _finish(tower, modules, folder, card)


def _save_layer(layer: "Layer", folder: Path, place: dict[str, str]) -> None:
    """Write a layer's config, with where it takes its input, and its weights."""
    write_json(folder / "config.json", layer.config() | place)
    weights = {name: value.detach().cpu().contiguous() for name, value in layer.state_dict().items()}
    if weights:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _normalize(tower: "Tower") -> list[str]:
    return ["Normalize"] if tower.similarity == "cosine" else []


def _paths(modules: list[str]) -> list[str]:
    """Say where each module lies: the first one in the folder itself."""
    return ["" if index == 0 else f"{index}_{kind}" for index, kind in enumerate(modules)]


def _type(kind: str) -> str:
    """Spell out a module's class: the library's, unless it is one of our own."""
    return kind if "." in kind else f"sentence_transformers.models.{kind}"


def _make(folder: Path, modules: list[str]) -> list[str]:
    paths = _paths(modules)
    for path in paths:
        (folder / path).mkdir(parents=True, exist_ok=True)
    return paths


def _finish(tower: "Tower", modules: list[str], folder: Path, card: str) -> None:
    """Write what holds for the whole folder."""
    write_json(
        folder / MODULES,
        [
            {"idx": index, "name": str(index), "path": path, "type": _type(kind)}
            for index, (kind, path) in enumerate(zip(modules, _paths(modules), strict=True))
        ],
    )
    write_json(folder / SETTINGS, _settings(tower))
    (folder / "README.md").write_text(card, encoding="utf-8")


def save_router(folder: Path, query: "Tower", document: "Tower", card: str) -> None:
    """Join two towers that lie in `query/` and `document/` to one model that sends each text to its own.

    The Router names the modules where they lie, so nothing is written twice.
    """
    structure: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for route in ("query", "document"):
        structure[route] = []
        for module in read_json(folder / route / MODULES):
            place = f"{route}/{module['path']}".rstrip("/")
            structure[route].append(place)
            types[place] = module["type"]
    parameters = {"default_route": "document", "allow_empty_key": True}
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    write_json(folder / MODULES, [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}])
    prompts = {"query": query.prompts["query"], "document": document.prompts["document"]}
    write_json(folder / SETTINGS, _settings(document) | {"prompts": prompts})
    (folder / "README.md").write_text(card, encoding="utf-8")


def _save_transformer(tower: "TransformerTower", folder: Path) -> None:
    """Write weights, config and tokenizer, so that versions 4 and 5 of transformers read them alike."""
    backbone = tower.backbone
    with quiet_transformers():
        backbone.save_pretrained(folder, state_dict=backbone.state_dict() | _unused_pooler(backbone))
    write_json(folder / "config.json", with_older_names(read_json(folder / "config.json")))
    tower.tokenizer.save(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": tower.max_length, "do_lower_case": False})


def _unused_pooler(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Fill with zeros the layer that a library adds to a BERT and its kin, and that no vector passes through.

    A folder without it opens with a report of untrained weights, and a setting that leaves it out is unknown to exporters.
    """
    if "add_pooling_layer" not in inspect.signature(type(backbone).__init__).parameters:
        return {}
    with torch.device("meta"):
        whole = type(backbone)(backbone.config, add_pooling_layer=True).state_dict()
    return {name: torch.zeros(whole[name].shape) for name in whole.keys() - backbone.state_dict().keys()}


def _pooling_config(tower: "TransformerTower") -> dict[str, Any]:
    """Say which pooling it is by flags, which old and new versions of the library read; flags cannot say another order."""
    pooling, width = tower.pooling, tower.head.state_width(tower.width)
    flags: dict[str, Any] = {flag: name in pooling.modes for flag, name in POOLING_FLAGS.items()}
    names = {ours: theirs for theirs, ours in POOLING_NAMES.items()}
    if [name for name in POOLING_FLAGS.values() if name in pooling.modes] != list(pooling.modes):
        flags["pooling_mode"] = [names[name] for name in pooling.modes]
    return {"word_embedding_dimension": width, **flags, "include_prompt": pooling.include_prompt}


def _settings(tower: "Tower") -> dict[str, Any]:
    """What holds for the whole model."""
    return {
        "model_type": "SentenceTransformer",
        "prompts": dict(tower.prompts),
        "default_prompt_name": None,
        "similarity_fn_name": tower.similarity,
        OUR_SETTINGS: {"title_separator": tower.title_separator},
    }
