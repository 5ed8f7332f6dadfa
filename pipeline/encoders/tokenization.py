"""From texts to token ids, the same in training, in tables and in the saved folder."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence
from torch import Tensor

from pipeline.encoders.tokenizer_files import TOKENIZER_FILE, TOKENIZER_SETTINGS, Side, read_tokenizer
from pipeline.errors import UserError
from pipeline.files import write_json

NO_LIMIT = 1_000_000
"""A tokenizer without a maximum length names some astronomical number; from here on it counts as none."""

FALLBACK_LENGTH = 512
"""Tokens a text is cut to where neither tokenizer nor model has a limit."""

MODEL_INPUTS = ("input_ids", "attention_mask")
"""What a tokenizer gives of a text; types of tokens are left out, as every model takes them for 0."""


class TextTokenizer:
    """A tokenizer with everything that decides a text's token ids built in, so that its file says it all.

    Args:
        backend: The tokenizer proper; its own truncation and padding are replaced.
        special: Special tokens by role (`pad_token`, `eos_token`, …), as transformers names them.
        max_length: How many tokens a text is cut to, special ones included.
        padding_side: Where padding goes.
        truncation_side: Which end of a text that is too long is dropped.
        notes: What is to be said of how it was read.
        named_length: The maximum length that its folder names, if it names one.
    """

    def __init__(
        self,
        backend: Tokenizer,
        special: dict[str, str],
        max_length: int,
        padding_side: Side,
        truncation_side: Side = "right",
        notes: Sequence[str] = (),
        named_length: int | None = None,
    ) -> None:
        self.backend = Tokenizer.from_str(backend.to_str())
        self.special = special
        self.max_length = max_length
        self.padding_side = padding_side
        self.truncation_side = truncation_side
        self.notes = list(notes)
        self.named_length = named_length
        reserved = self.backend.num_special_tokens_to_add(is_pair=False)
        if max_length <= reserved:
            raise UserError(
                f"max_length={max_length} leaves no room for a text beside {reserved} special tokens; raise it."
            )
        self.backend.no_padding()
        self.backend.enable_truncation(max_length, direction=truncation_side)

    @classmethod
    def load(
        cls, folder: Path, *, wanted: int | None, saved: int | None, limit: int | None, **kwargs: Any
    ) -> "TextTokenizer":
        """Read the tokenizer of a model folder.

        Args:
            folder: The folder.
            wanted: The maximum length that the user asks for, if any.
            saved: The maximum length that the folder was saved with, if any.
            limit: How many tokens the model can take, if it has a limit.
            kwargs: `trust_remote_code`, or `gguf_file` where a folder holds a GGUF model.

        Raises:
            UserError: When the tokenizer cannot be read as its folder means it, or the model is too short for the wish.
        """
        if wanted is not None and limit is not None and wanted > limit:
            raise UserError(f"max_length={wanted} is more than the {limit} tokens that the model in {folder} can take.")
        read = read_tokenizer(folder, **kwargs)
        named = saved or limited(folder / TOKENIZER_SETTINGS, "model_max_length", read.max_length)
        known = [length for length in (named, limit) if length is not None]
        length, notes = wanted or min(known, default=FALLBACK_LENGTH), read.notes
        if not wanted and not known:
            notes = [
                *notes,
                f"{folder} names no maximum length: texts are cut to {FALLBACK_LENGTH} tokens; encoder.max_length takes"
                " another.",
            ]
        return cls(read.backend, read.special, length, read.padding_side, read.truncation_side, notes, named)

    @property
    def size(self) -> int:
        """How many token ids there are, special and added ones included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def ids_from(self, first: int) -> frozenset[int]:
        """List the token ids from a first one on."""
        return frozenset(found for found in self.backend.get_vocab(with_added_tokens=True).values() if found >= first)

    @cached_property
    def special_ids(self) -> list[int]:
        """The ids of special tokens, the one for unknown words excepted: it stands for text."""
        names = {token for role, token in self.special.items() if role != "unk_token"}
        return sorted({found for name in names if (found := self.backend.token_to_id(name)) is not None})

    @cached_property
    def pad_id(self) -> int:
        """The id that fills a batch; what it is makes no difference to any vector."""
        return self._id(self.special["pad_token"])

    @cached_property
    def mask_id(self) -> int:
        """The id of the mask token.

        Raises:
            UserError: When the tokenizer has none.
        """
        if "mask_token" not in self.special:
            raise UserError("The tokenizer has no mask token, so nothing can be masked; choose another backbone.")
        return self._id(self.special["mask_token"])

    @cached_property
    def lone_id(self) -> int:
        """What stands for a text that has no token at all, so that its vector is defined."""
        return self._id(self.special.get("eos_token", self.special["pad_token"]))

    def _id(self, token: str) -> int:
        found = self.backend.token_to_id(token)
        if found is None:
            raise UserError(f"The tokenizer names {token} as a special token but has no such entry; mend its files.")
        return found

    def token_ids(self, texts: list[str]) -> tuple[list[list[int]], int]:
        """Tokenize texts, special tokens included.

        Returns:
            The ids of each text, none for a text without any token, and how many texts were cut to the maximum length.
        """
        encodings = self.backend.encode_batch_fast(texts)
        cut = sum(1 for encoding in encodings if encoding.overflowing)
        return [encoding.ids for encoding in encodings], cut

    def prompt_length(self, prompt: str) -> int:
        """Count the tokens of a prompt alone, and of what is put before it; as sentence-transformers counts them."""
        (ids,), _ = self.token_ids([prompt])
        special = {self.backend.token_to_id(token) for token in self.special.values()}
        return len(ids) - (1 if ids and ids[-1] in special else 0)

    def pad(self, token_ids: list[list[int]]) -> dict[str, Tensor]:
        """Make a batch: `input_ids` and `attention_mask`, both [texts, longest]."""
        longest = max(map(len, token_ids))
        ids = torch.full((len(token_ids), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(token_ids), longest), dtype=torch.long)
        for row, text in enumerate(token_ids):
            place = slice(longest - len(text), None) if self.padding_side == "left" else slice(len(text))
            ids[row, place] = torch.tensor(text)
            mask[row, place] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def with_eos(self, where: str) -> "TextTokenizer":
        """Give the same tokenizer with the end-of-sequence token after every text.

        Where a special token ends every text already, as BERT's [SEP] does, nothing is added.

        Raises:
            UserError: When texts have no end and the tokenizer has no such token.
        """
        if self.around()[1]:
            return self
        token = self.special.get("eos_token")
        if token is None:
            raise UserError(f"append_eos: the tokenizer of {where} has no end-of-sequence token; set append_eos=false.")
        description = json.loads(self.backend.to_str())
        description["post_processor"] = _ending_with(description.get("post_processor"), token, self._id(token))
        backend = Tokenizer.from_str(json.dumps(description))
        return self._with(backend)

    def around(self) -> tuple[list[int], list[int]]:
        """Give the special tokens that are put before and after every text."""
        encoding = self.backend.encode("a")
        places = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        return encoding.ids[: places[0]], encoding.ids[places[-1] + 1 :]

    def special_prompt(self) -> str:
        """Spell the special tokens of a text, so that put before it they are tokens without being added.

        They all stand before the text then, which makes no difference to an average.

        Raises:
            UserError: When the tokenizer reads them otherwise in a text than it adds them.
        """
        before, after = self.around()
        spelled = "".join(str(self.backend.id_to_token(token)) for token in (*before, *after))
        read = self.without_special_tokens().backend.encode(f"{spelled}a").ids
        if sorted(read) != sorted(self.backend.encode("a").ids):
            raise UserError(
                f"query.special_tokens=true: this tokenizer does not read {spelled} in a text as the special tokens that it "
                "adds, so sentence-transformers could not average them; choose query.special_tokens=false."
            )
        return spelled

    def cut_to(self, max_length: int) -> "TextTokenizer":
        """Give the same tokenizer with another maximum length."""
        return self._with(self.backend, max_length)

    def without_special_tokens(self) -> "TextTokenizer":
        """Give the same tokenizer with nothing put before or after a text."""
        description = json.loads(self.backend.to_str())
        description["post_processor"] = None
        backend = Tokenizer.from_str(json.dumps(description))
        return self._with(backend)

    def lowercased(self) -> "TextTokenizer":
        """Give the same tokenizer with all text lowercased first, as old sentence-transformers folders ask."""
        backend = Tokenizer.from_str(self.backend.to_str())
        backend.normalizer = (
            NormalizerSequence([Lowercase(), backend.normalizer]) if backend.normalizer is not None else Lowercase()
        )
        return self._with(backend)

    def _with(self, backend: Tokenizer, max_length: int | None = None) -> "TextTokenizer":
        """Give the same tokenizer with another backend or maximum length."""
        length = self.max_length if max_length is None else max_length
        sides = (self.padding_side, self.truncation_side)
        return TextTokenizer(backend, self.special, length, *sides, self.notes, self.named_length)

    def fingerprint(self) -> str:
        """Fingerprint what decides a text's ids: the tokenizer's own file, its maximum length included."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which open in transformers 4 and 5 to this very tokenizer.

        The class is the one that both know and that neither rebuilds: it takes the file as it is.
        """
        backend = Tokenizer.from_str(self.backend.to_str())
        backend.no_truncation()
        backend.save(str(folder / TOKENIZER_FILE))
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "model_input_names": MODEL_INPUTS,
            "clean_up_tokenization_spaces": False,
        }
        write_json(folder / TOKENIZER_SETTINGS, settings | self.special)


def limited(path: Path, name: str, value: Any) -> int | None:
    """Read a maximum length; None where there is none, or an astronomical one.

    Args:
        path: Where it stands.
        name: Of the setting.
        value: Its value, null where nothing is said.

    Raises:
        UserError: When it is no whole number of tokens.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value % 1:
        raise UserError(
            f"{path} sets {name}={json.dumps(value)}, which is no number of tokens; mend it, or set it to null."
        )
    return int(value) if value < NO_LIMIT else None


def _ending_with(processor: dict[str, Any] | None, token: str, token_id: int) -> dict[str, Any]:
    """Put a token at the end of what a tokenizer's post-processor makes of a text.

    The description is edited rather than a second processor chained, because a chained one takes the pieces of the
    first for separate texts.
    """
    if processor is None:
        processor = {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {},
        }
    if processor["type"] == "Sequence":
        *before, last = processor["processors"]
        if last["type"] == "TemplateProcessing":
            return {**processor, "processors": [*before, _ending_with(last, token, token_id)]}
        return {**processor, "processors": [*before, last, _ending_with(None, token, token_id)]}
    if processor["type"] != "TemplateProcessing":
        return {"type": "Sequence", "processors": [processor, _ending_with(None, token, token_id)]}
    end = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        **processor,
        "single": [*processor["single"], end],
        "pair": [*processor["pair"], end],
        "special_tokens": {
            **processor["special_tokens"],
            token: {"id": token, "ids": [token_id], "tokens": [token]},
        },
    }
