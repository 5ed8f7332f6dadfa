"""Tokenizers that come as a SentencePiece model alone: what the library makes of one is held to the model's own ids."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Normalizer, Precompiled, Prepend, Replace, Strip
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.processors import TemplateProcessing

from pipeline.errors import UserError

MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
PLAIN = ("the wing of a plane in a stream", "a", "heat flow, and lift: 12 of 345", "rivers run", "one two  three ")
"""Texts that no class prepares in its own way, by lower case or accents, before SentencePiece sees them."""

BPE = 2
"""What SentencePiece calls its second kind of model."""


def as_sentencepiece(backend: Tokenizer, folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """Mend a tokenizer that was made of a SentencePiece model, so that it gives the model's own pieces.

    transformers 5 leaves out the space that such a model puts before a text, or puts none where a text begins with one,
    and forgets the begin token of Llama's folders that have no settings.

    Args:
        backend: What the library made.
        folder: The folder; one without a SentencePiece model is taken as it was read.
        settings: The contents of its `tokenizer_config.json`.

    Raises:
        UserError: When the pieces still differ from the model's own.
    """
    model = next((folder / name for name in MODELS if (folder / name).exists()), None)
    if model is None:
        return backend
    reader = sentencepiece.SentencePieceProcessor(model_file=str(model))
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.read_bytes())  # type: ignore[attr-defined]
    if proto.trainer_spec.model_type == BPE:
        backend = _spaced(backend, proto.normalizer_spec)
        begin = proto.trainer_spec.bos_piece
        if settings.get("add_bos_token", True) and reader.bos_id() >= 0 and not backend.encode("").ids:
            backend.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, reader.bos_id())])
    for text in PLAIN:
        if backend.encode(text, add_special_tokens=False).tokens != reader.encode(text, out_type=str):
            raise UserError(
                f"{model} cannot be read as SentencePiece reads it; convert it to a tokenizer.json with an older "
                "transformers, as AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) does."
            )
    return backend


def _spaced(backend: Tokenizer, normalization: Any) -> Tokenizer:
    """Write spaces as the model's own sign, with one before the text where the model puts it."""
    description = json.loads(backend.to_str())
    description["pre_tokenizer"] = None
    for token in description["added_tokens"]:
        token["normalized"] = False
    spaced = Tokenizer.from_str(json.dumps(description))
    steps: list[Normalizer] = []
    if normalization.precompiled_charsmap:
        steps.append(Precompiled(normalization.precompiled_charsmap))
    if normalization.remove_extra_whitespaces:
        steps += [Strip(), Replace(Regex(" {2,}"), " ")]
    if normalization.add_dummy_prefix:
        steps.append(Prepend("▁"))
    spaced.normalizer = Normalizers([*steps, Replace(" ", "▁")])
    return spaced
