"""The tokenizer that a folder means: its own file with what its settings change, whatever a library rebuilds from it.

transformers 4 took `tokenizer.json` and changed in it what `tokenizer_config.json` named. transformers 5 rebuilds many
tokenizers (BERT's, Llama's, T5's, XLM-R's, Qwen2's) from vocabulary and class, which loses what the class does not know:
another normaliser, another template, `add_eos_token`. Checkpoints were trained with the former, so that is what is read
here; what class defaults alone would change is left as the file has it. That the library reads otherwise is said.
"""

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.sentence_pieces import as_sentencepiece
from pipeline.errors import UserError
from pipeline.files import read_json, read_object

Side = Literal["left", "right"]

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
NAMING_FILES = (TOKENIZER_SETTINGS, "special_tokens_map.json", "added_tokens.json")
"""The files that may name tokens which `tokenizer.json` lacks."""

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OF_BERT = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""What a BERT-like class takes from the settings, and what its normaliser calls it."""

WITH_OWN_ENDS = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer")
"""The classes that heed `add_bos_token` and `add_eos_token`; others leave the template as it is."""

PROBES = (
    "Once upon a time there was a LITTLE girl",
    "  two  spaces, line\nbreak\tand tab ",
    "Élan naïve café e\u0301 İstanbul STRASSE ﬁ ① ｆｕｌｌ\u00a0\u200bwidth",
    "日本語のテキスト 中文 Ωμέγα привет שלום नमस्ते",
    "🙂 emoji 👩\u200d👩\u200d👧",
    "<s> [CLS] a</s>b [MASK] <mask> [SEP] <unk> <pad> [PAD] <|endoftext|>",
    "<0x41> ▁a ##ing don't a_b 123 4567",
    "x" * 150,
)
"""Texts on which tokenizers that are not the same give other ids."""


@dataclass
class FolderTokenizer:
    """What a folder says of its tokenizer.

    Attributes:
        backend: From text to token ids.
        special: Special tokens by role; something to pad with is among them.
        max_length: Tokens a text is cut to, astronomical where nothing is said.
        padding_side: Where padding goes.
        truncation_side: Which end of a text that is too long is dropped.
        notes: What is to be said of it.
    """

    backend: Tokenizer
    special: dict[str, str]
    max_length: int
    padding_side: Side
    truncation_side: Side
    notes: list[str] = field(default_factory=list)


def read_tokenizer(folder: Path, **kwargs: Any) -> FolderTokenizer:
    """Read a folder's tokenizer.

    Args:
        folder: The folder.
        kwargs: `trust_remote_code`, or `gguf_file` where the folder holds a GGUF model.

    Raises:
        UserError: When it cannot be read, has no fast form, or asks for what is not known here.
    """
    path = folder / TOKENIZER_SETTINGS
    settings = read_object(path, added_tokens_decoder=dict) if path.exists() else {}
    if settings.get("split_special_tokens"):
        raise UserError(f"{path} sets split_special_tokens, which is not known here; choose another model.")
    own_code = bool(kwargs.get("trust_remote_code")) and "auto_map" in settings
    whole = (folder / TOKENIZER_FILE).exists() and not own_code
    if whole and not _has_model(folder / TOKENIZER_FILE):
        raise UserError(f"{folder / TOKENIZER_FILE} holds no tokenizer; save or copy it again.")
    library = _by_library(folder, kwargs, whole)
    if getattr(library, "backend_tokenizer", None) is None:
        raise UserError(f"The tokenizer in {folder} has no fast form (tokenizer.json); convert it first.")
    read = FolderTokenizer(
        library.backend_tokenizer,
        {},
        library.model_max_length,
        "left" if library.padding_side == "left" else "right",
        "left" if library.truncation_side == "left" else "right",
    )
    if whole:
        read.backend = _as_settings_say(_of_file(folder, library, settings), library, settings)
        read.notes = _differences(folder, read.backend, library)
    elif own_code:
        _require_same(folder, library)
    elif "gguf_file" not in kwargs:
        read.backend = as_sentencepiece(read.backend, folder, settings)
    read.special = _special_tokens(library, read.backend)
    _refuse_types(folder, read.backend, library)
    return read


def _has_model(path: Path) -> bool:
    """Whether a file says by what a tokenizer cuts words into tokens."""
    said = read_json(path)
    return isinstance(said, dict) and "model" in said


def _by_library(folder: Path, kwargs: dict[str, Any], whole: bool) -> Any:
    """Open a folder's tokenizer as transformers does; of one that it cannot open, the file alone where there is one.

    The library and what it is made of raise errors of any class for files that do not go together.
    """
    with quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(str(folder), **kwargs)
        except Exception as error:
            if not whole:
                raise UserError(f"The tokenizer in {folder} cannot be read ({_first_line(error)}).") from error
        try:
            return PreTrainedTokenizerFast.from_pretrained(str(folder))
        except Exception as error:
            raise UserError(f"The tokenizer in {folder} cannot be read ({_first_line(error)}).") from error


def _of_file(folder: Path, library: PreTrainedTokenizerBase, settings: dict[str, Any]) -> Tokenizer:
    """Read `tokenizer.json`, with the tokens that the files beside it name and it lacks."""
    backend = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    _bare(backend)
    named = {text for name in NAMING_FILES if (folder / name).exists() for text in _strings(read_json(folder / name))}
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for _, token in sorted(library.added_tokens_decoder.items()):
        if token.content in named - known:
            backend.add_tokens([token])
    here = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    described = [AddedToken(**entry) for entry in settings.get("added_tokens_decoder", {}).values()]
    backend.add_tokens([token for token in described if repr(token) not in here and token.content in known])
    return backend


def _as_settings_say(backend: Tokenizer, library: PreTrainedTokenizerBase, settings: dict[str, Any]) -> Tokenizer:
    """Change in a tokenizer what its settings name, as transformers 4 did."""
    description = json.loads(backend.to_str())
    normalizer, before = description.get("normalizer") or {}, description.get("pre_tokenizer") or {}
    takes = inspect.signature(type(library).__init__).parameters
    if normalizer.get("type") == "BertNormalizer":
        named = {name: settings[name] for name in OF_BERT if name in settings and name in takes}
        normalizer.update({OF_BERT[name]: value for name, value in named.items()})
    if "add_prefix_space" in before and isinstance(settings.get("add_prefix_space"), bool):
        before["add_prefix_space"] = settings["add_prefix_space"]
    changed = Tokenizer.from_str(json.dumps(description))
    name = str(settings.get("tokenizer_class") or type(library).__name__).removesuffix("Fast")
    return _with_ends(changed, library, settings) if name in WITH_OWN_ENDS else changed


def _with_ends(backend: Tokenizer, library: PreTrainedTokenizerBase, settings: dict[str, Any]) -> Tokenizer:
    """Put the begin and the end token where the settings say so; what they leave open stays as the file has it."""
    there, wished = set(backend.encode("").ids), {}
    for role in ("bos", "eos"):
        token = getattr(library, f"{role}_token")
        found = None if token is None else backend.token_to_id(str(token))
        if found is None:
            return backend
        wish = settings.get(f"add_{role}_token")
        wished[role] = (str(token), found, found in there if wish is None else bool(wish))
    if all((found in there) == wish for _, found, wish in wished.values()):
        return backend
    begin, end = (f"{token} " if wish else "" for token, _, wish in wished.values())
    backend.post_processor = TemplateProcessing(
        single=f"{begin}$A {end}".strip(), special_tokens=[(token, found) for token, found, _ in wished.values()]
    )
    return backend


def _differences(folder: Path, backend: Tokenizer, library: Any) -> list[str]:
    """Say where transformers, and so sentence-transformers, reads the folder otherwise."""
    theirs = Tokenizer.from_str(library.backend_tokenizer.to_str())
    _bare(theirs)
    other = sum(backend.encode(text).ids != _ids(theirs, text) for text in PROBES)
    if not other:
        return []
    return [
        f"The tokenizer of {folder} is read as its tokenizer.json and tokenizer_config.json say; this version of "
        f"transformers makes other token ids of {other} of {len(PROBES)} probe texts."
    ]


def _ids(backend: Tokenizer, text: str) -> list[int] | None:
    """Tokenize a text with what may have been rebuilt to something that cannot."""
    try:
        return backend.encode(text).ids
    except Exception:
        return None


def _require_same(folder: Path, library: Any) -> None:
    """Refuse a tokenizer of a folder's own code that does more than its fast form says."""
    backend = Tokenizer.from_str(library.backend_tokenizer.to_str())
    _bare(backend)
    if any(library(text)["input_ids"] != backend.encode(text).ids for text in PROBES):
        raise UserError(
            f"The tokenizer in {folder} brings code that changes what its fast form gives, which cannot be saved; "
            "choose another model."
        )


def _refuse_types(folder: Path, backend: Tokenizer, library: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that tells a model more of single texts than their ids."""
    if "token_type_ids" in library.model_input_names and any(backend.encode("a").type_ids):
        raise UserError(
            f"The tokenizer in {folder} gives the tokens of one text several types (token_type_ids), which is not known here; "
            "choose another model."
        )


def _special_tokens(library: PreTrainedTokenizerBase, backend: Tokenizer) -> dict[str, str]:
    """List the special tokens by role, with something to pad with in any case."""
    named = {role: str(token) for role in SPECIAL_TOKENS if (token := getattr(library, role, None)) is not None}
    found = {role: token for role, token in named.items() if backend.token_to_id(token) is not None}
    if "pad_token" not in found:
        found["pad_token"] = found.get("eos_token") or found.get("unk_token") or str(backend.id_to_token(0))
    return found


def _bare(backend: Tokenizer) -> None:
    """Take padding and truncation away, which depend on who asks."""
    backend.no_padding()
    backend.no_truncation()


def _strings(value: Any) -> Iterator[str]:
    """Give every text in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _strings(part)


def _first_line(error: BaseException) -> str:
    """What an error says first, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
