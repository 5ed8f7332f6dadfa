"""Opening saved towers: sentence-transformers folders, with a transformer inside or a table of token vectors."""

from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer

from pipeline.encoders.backbones import Local
from pipeline.encoders.folders import check_safetensors, find_folder
from pipeline.encoders.layout import MODULES, is_static, read_conventions, static_folder
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tokenization import NO_LIMIT, TextTokenizer
from pipeline.encoders.tokenizer_files import Side
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError

WEIGHTS = "model.safetensors"


def open_tower(folder: Path, *, trust_remote_code: bool = False, max_length: int | None = None) -> Tower:
    """Open a sentence-transformers folder.

    Args:
        folder: The folder, or a name on the model hub.
        trust_remote_code: Whether the folder's own Python code may run.
        max_length: Tokens a text is cut to; None takes the folder's.

    Raises:
        UserError: When the folder is half written, unsafe or of an unknown kind.
    """
    found = find_folder(folder)
    if is_static(found):
        return _open_static(found, max_length)
    loaded = Local(str(found), trust_remote_code=trust_remote_code).load("document", 0, max_length)
    layout = loaded.layout
    if layout is None:
        raise UserError(
            f"{folder} is no sentence-transformers folder (it has no {MODULES}), so its pooling is unknown; "
            "use it as a backbone instead, with backbone=local and a pooling."
        )
    return TransformerTower(
        loaded.model,
        loaded.tokenizer,
        layout.pooling,
        layout.projections,
        layout.similarity,
        {"query": layout.query_prompt, "document": layout.document_prompt},
        layout.title_separator or " ",
        layout.selection,
    )


def _open_static(folder: Path, max_length: int | None) -> StaticTower:
    """Read token vectors, which have their weights in them, and the tokenizer."""
    place, conventions = static_folder(folder), read_conventions(folder)
    for name in (WEIGHTS, "tokenizer.json"):
        if not (place / name).exists():
            raise UserError(f"{place / name} is missing, so {folder} is only half written; save or copy it again.")
    check_safetensors(place / WEIGHTS)
    weights = load_file(place / WEIGHTS)
    if "embedding.weight" not in weights:
        raise UserError(f"{place / WEIGHTS} holds no embedding.weight but {', '.join(weights)}; save the model again.")
    backend = Tokenizer.from_file(str(place / "tokenizer.json"))
    cut = backend.truncation or {}
    saved = cut.get("max_length", NO_LIMIT)
    side: Side = "left" if cut.get("direction") == "left" else "right"
    vectors = weights["embedding.weight"]
    return StaticTower(
        vectors,
        vectors.new_ones(len(vectors)),
        TextTokenizer(backend, {}, max_length or saved, "right", side).without_special_tokens(),
        conventions.similarity,
        {"query": conventions.query_prompt, "document": conventions.document_prompt},
        conventions.title_separator or " ",
    )
