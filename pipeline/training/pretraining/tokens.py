"""Texts as one long row of tokens on disk, made once and memory-mapped."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pipeline.data.texts import Texts
from pipeline.encoders.saving import whole_folder
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.files import digest_of, locked, write_json
from pipeline.progress import progress

TEXTS_AT_ONCE = 512


@dataclass(frozen=True)
class Tokens:
    """The tokens of texts, each text followed by what ends it (`[SEP]`, where the tokenizer has such a token).

    Attributes:
        ids: int32 [tokens].
        begins: Whether a token begins a word, bool [tokens].
    """

    ids: np.ndarray
    begins: np.ndarray

    @classmethod
    def open(cls, texts: Texts, separator: str, tokenizer: TextTokenizer, store: Path) -> "Tokens":
        """Open the tokens of texts, tokenising them first where nobody has.

        Args:
            texts: What is tokenised, whole however long.
            separator: Stands between a title and its text.
            tokenizer: Its maximum length is not applied.
            store: The folder shared by runs; tokens lie in its `tokens/`.

        Raises:
            UserError: When the disk is full.
        """
        key = digest_of([texts.fingerprint, separator, tokenizer.fingerprint()])
        folder = store / "tokens" / key[:16]
        if not (folder / "tokens.json").exists():
            with locked(folder, "the tokens of the pre-training text"):
                if not (folder / "tokens.json").exists():
                    _write(texts, separator, tokenizer, folder)
        return cls(
            np.memmap(folder / "ids.int32", dtype=np.int32, mode="r"),
            np.memmap(folder / "begins.bool", dtype=bool, mode="r"),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self, vocabulary: int) -> np.ndarray:
        """Count how often each id occurs, int64 [vocabulary]."""
        return np.bincount(self.ids, minlength=vocabulary)


def _write(texts: Texts, separator: str, tokenizer: TextTokenizer, folder: Path) -> None:
    end = np.array(tokenizer.around()[1], dtype=np.int32)
    with (
        whole_folder(folder) as beside,
        open(beside / "ids.int32", "wb") as ids,
        open(beside / "begins.bool", "wb") as begins,
        progress("Tokenising", len(texts), "texts") as advance,
    ):
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chunk = texts.take(slice(start, start + TEXTS_AT_ONCE), separator)
            for row, first in tokenised(tokenizer, chunk, None):
                np.concatenate([row, end]).tofile(ids)
                np.concatenate([first, np.ones(len(end), dtype=bool)]).tofile(begins)
            advance(len(chunk))
        write_json(beside / "tokens.json", {"texts": texts.fingerprint})


def tokenised(
    tokenizer: TextTokenizer, texts: list[str], max_length: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokenise texts without special tokens, and say where words begin.

    Args:
        tokenizer: Decides what a token is, and what a word.
        texts: The texts.
        max_length: Tokens that a text is cut to; None leaves it whole.

    Yields:
        Of every text its ids, int32 [tokens], and whether a token begins a word, bool [tokens].
    """
    backend = Tokenizer.from_str(tokenizer.backend.to_str())
    backend.no_truncation()
    # The fast form of this method does not say which word a token belongs to.
    for encoding in backend.encode_batch(texts, add_special_tokens=False):
        words = encoding.word_ids[:max_length]
        begins = np.array([before is None or before != word for before, word in pairwise([None, *words])], dtype=bool)
        yield np.array(encoding.ids[:max_length], dtype=np.int32), begins
