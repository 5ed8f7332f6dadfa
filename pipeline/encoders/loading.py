"""Opening saved towers: sentence-transformers folders, with a transformer inside or a table of token vectors."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from pipeline.encoders.backbones import Local
from pipeline.encoders.folders import find_folder
from pipeline.encoders.layout import Conventions, ends_normalized, read_conventions
from pipeline.encoders.modules import KINDS, MODULES, Kind, Module, read_modules
from pipeline.encoders.own_settings import left_open
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tokenization import NO_LIMIT, TextTokenizer
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.encoders.weight_files import read_weights
from pipeline.errors import UserError
from pipeline.files import read_object

MODEL2VEC_LENGTH = 512
"""Tokens to which model2vec cuts a text where its config does not say."""


def open_towers(folder: Path, *, trust_remote_code: bool = False, max_length: int | None = None) -> tuple[Tower, Tower]:
    """Open the query tower and the document tower of a sentence-transformers folder; without a Router they are one.

    Raises:
        UserError: When the folder is half written, unsafe or of an unknown kind.
    """
    found = find_folder(folder, trust_remote_code=trust_remote_code)
    routes = [read_modules(found, kind) for kind in KINDS] if (found / MODULES).exists() else [[], []]
    if routes[0] == routes[1]:
        tower = open_tower(found, trust_remote_code=trust_remote_code, max_length=max_length)
        return tower, tower
    query, document = (
        open_tower(found, kind, trust_remote_code=trust_remote_code, max_length=max_length) for kind in KINDS
    )
    if routes[0][0] == routes[1][0] and isinstance(query, TransformerTower) and isinstance(document, TransformerTower):
        query.backbone = document.backbone  # both routes have this module, and train it together
    return query, document


def open_tower(
    folder: Path, kind: Kind = "document", *, trust_remote_code: bool = False, max_length: int | None = None
) -> Tower:
    """Open a sentence-transformers folder, or one of model2vec.

    Args:
        folder: The folder, or a name on the model hub.
        kind: The side, which makes a difference where a Router has modules for each.
        trust_remote_code: Whether the folder's own Python code may run.
        max_length: Tokens a text is cut to; None takes the folder's.

    Raises:
        UserError: When the folder is half written, unsafe or of an unknown kind.
    """
    found = find_folder(folder, trust_remote_code=trust_remote_code)
    modules = read_modules(found, kind) if (found / MODULES).exists() else []
    if modules and modules[0].kind == "StaticEmbedding":
        return _open_static(found, modules, max_length)
    if not modules and _is_model2vec(found):
        return _open_model2vec(found, max_length)
    loaded = Local(str(found), trust_remote_code=trust_remote_code).load(kind, 0, max_length)
    layout = loaded.layout
    if layout is None:
        raise UserError(
            f"{folder} is no sentence-transformers folder (it has no {MODULES}), so its pooling is unknown; "
            "use it as a backbone instead, with backbone=local and a pooling: among models, "
            f"{{model: local, settings: {{backbone: {{path: {folder}}}, pooling: cls}}}}."
        )
    tower = TransformerTower(
        loaded.model,
        loaded.tokenizer,
        layout.pooling,
        layout.projections,
        layout.similarity,
        {"query": layout.query_prompt, "document": layout.document_prompt},
        layout.title_separator or " ",
        layout.selection,
        layout.token_layers,
    )
    tower.notes += left_open(str(folder), layout)
    return tower


def _open_static(folder: Path, modules: list[Module], max_length: int | None) -> StaticTower:
    """Open token vectors as sentence-transformers does, which looks up all that the tokenizer gives.

    Raises:
        UserError: When something that is not known here follows the look-up.
    """
    kinds = [module.kind for module in modules]
    if not set(kinds[1:]) <= {"Normalize", "Dropout"}:
        raise UserError(
            f"{folder / MODULES} has {', '.join(kinds)}; known are StaticEmbedding alone, and Normalize after it."
        )
    place = modules[0].folder
    backend = _backend(place, folder)
    saved = backend.truncation or {"max_length": NO_LIMIT, "direction": "right"}
    tokenizer = TextTokenizer(backend, {}, max_length or saved["max_length"], "right", saved["direction"])
    conventions = read_conventions(folder, ends_normalized(folder))
    if conventions.similarity == "dot" and "Normalize" in kinds:
        raise UserError(f"{folder} takes the inner product of normalised static vectors and others, not known here.")
    return _static(folder, _token_vectors(place), tokenizer, conventions)


def _is_model2vec(folder: Path) -> bool:
    """Whether a folder is one of model2vec's own, whose config names no architecture of transformers."""
    path = folder / "config.json"
    return path.exists() and read_object(path).get("model_type") == "model2vec"


def _open_model2vec(folder: Path, max_length: int | None) -> StaticTower:
    """Open token vectors as model2vec does, which averages all but the unknown token of a text's first 512.

    Where an average is divided by its length, one vector of 0 among the others changes nothing of it.
    """
    config, backend = read_object(folder / "config.json"), _backend(folder, folder)
    vectors = _token_vectors(folder)
    model = json.loads(backend.to_str())["model"]
    unknown = model.get("unk_id") if model.get("unk_token") is None else backend.token_to_id(model["unk_token"])
    if unknown is not None:
        vectors[unknown] = 0
    saved = config.get("max_length", MODEL2VEC_LENGTH) or NO_LIMIT
    tokenizer = TextTokenizer(backend, {}, max_length or saved, "right")
    return _static(folder, vectors, tokenizer, read_conventions(folder, bool(config.get("normalize"))))


def _backend(place: Path, folder: Path) -> Tokenizer:
    path = place / "tokenizer.json"
    if not path.exists():
        raise UserError(f"{path} is missing, so {folder} is only half written; save or copy it again.")
    return Tokenizer.from_file(str(path))


def _token_vectors(place: Path) -> Tensor:
    """Read token vectors with their weights in them, float32 [vocabulary, dimension].

    model2vec may keep fewer vectors than tokens, a mapping from tokens to them, and a weight for each token.
    """
    found = read_weights(place)
    if "embedding.weight" in found:
        return found["embedding.weight"].float()
    if "embeddings" not in found:
        raise UserError(
            f"The weights in {place} hold neither embedding.weight nor embeddings but {', '.join(found)}; save the model"
            " again."
        )
    vectors = found["embeddings"].float()
    if "mapping" in found:
        vectors = vectors[found["mapping"].long()]
    return vectors * found["weights"].float()[:, None] if "weights" in found else vectors


def _static(folder: Path, vectors: Tensor, tokenizer: TextTokenizer, conventions: Conventions) -> StaticTower:
    tower = StaticTower(
        vectors,
        vectors.new_ones(len(vectors)),
        tokenizer.without_special_tokens(),
        conventions.similarity,
        {"query": conventions.query_prompt, "document": conventions.document_prompt},
        conventions.title_separator or " ",
    )
    tower.notes += left_open(str(folder), conventions)
    return tower
