"""BM25 through bm25s: built once for a corpus, kept on disk, memory-mapped when searched."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from bm25s.tokenization import Tokenizer

from pipeline.checks import number, one_of, text
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.files import digest_of, digest_of_file, disk_errors, locked, read_json, write_json
from pipeline.progress import progress
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.words import RULES, words_of

logging.getLogger("bm25s").setLevel(logging.WARNING)  # on import it had itself log every step, at level DEBUG

TEXTS_AT_ONCE = 4096
METHODS = ("lucene", "robertson", "atire")
"""Those variants in which a document that shares no word with the query scores 0."""


class Bm25:
    """BM25 (Robertson and Zaragoza 2009), as bm25s computes it (Lù 2024).

    Args:
        k1: How fast repeated words stop counting.
        b: How much long documents are discounted, 0 to 1.
        method: `lucene`, `robertson` or `atire`.
        stemmer: Language of the Snowball stemmer, such as `english`; None leaves words as they are.
        stopwords: Language of the words that are ignored, such as `english`; None ignores none.

    Attributes:
        nearly_empty: Documents of the corpus at hand with fewer than two words; stopwords are none.

    Raises:
        UserError: When a value cannot be meant.
    """

    def __init__(self, k1: float, b: float, method: str, stemmer: str | None, stopwords: str | None) -> None:
        self.k1 = number("lexical.k1", k1)
        self.b = number("lexical.b", b)
        if self.b > 1:
            raise UserError(f"lexical.b={b} must be between 0 and 1.")
        self.method = one_of("lexical.method", method, METHODS)
        self.stemmer = stemmer if stemmer is None else one_of("lexical.stemmer", stemmer, Stemmer.algorithms())
        self.stopwords = stopwords if stopwords is None else text("lexical.stopwords", stopwords)
        self._tokenizer()
        self.key: str | None = None
        self.nearly_empty = 0

    def build(self, documents: Texts, store: Path) -> str:
        """Index a corpus, or open what an earlier run has indexed.

        Args:
            documents: The corpus.
            store: The folder shared between runs; the index lies in `lexical/<key>` there.

        Returns:
            The key, which names the settings and the corpus.

        Raises:
            UserError: When no document holds a word, the disk is full, or the index on disk is damaged.
        """
        key = self.key_of(documents)
        folder = Path(store) / "lexical" / key
        if key != self.key:
            if not folder.exists():
                with locked(folder, "the BM25 index of the documents"):
                    if not folder.exists():
                        self._make(documents, folder)
            self._open(folder)
            self.key, self._precedence = key, documents.precedence
        return key

    def key_of(self, documents: Texts) -> str:
        """Name the settings and a corpus, without indexing it."""
        versions = {"bm25s": bm25s.__version__, "stemmers": Stemmer.version(), "words": RULES}
        return digest_of({**versions, "texts": documents.fingerprint, **self._settings()})[:32]

    def search(self, queries: list[str], k: int) -> Hits:
        """Find the documents that share words with each query.

        Args:
            queries: Texts.
            k: Results wanted.

        Returns:
            Hits of depth `k`, equal scores by the documents' precedence; a document that scores 0 is no result.
        """
        if self.key is None:
            raise RuntimeError("Bm25 was asked before build().")
        positions = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        tokenized = self._query_tokenizer.streaming_tokenize(queries, update_vocab=False, allow_empty=False)
        for row, token_ids in enumerate(tokenized):
            if token_ids:
                found, their_scores = best_positive(self._bm25.get_scores_from_ids(token_ids), k, self._precedence)
                positions[row, : len(found)], scores[row, : len(found)] = found, their_scores
        return Hits(positions, scores)

    def _settings(self) -> dict[str, Any]:
        return {
            "k1": self.k1,
            "b": self.b,
            "method": self.method,
            "stemmer": self.stemmer,
            "stopwords": self.stopwords,
        }

    def _tokenizer(self) -> Tokenizer:
        """Make a tokenizer with an empty vocabulary.

        Raises:
            UserError: When bm25s has no stopwords of that language.
        """
        try:
            return Tokenizer(
                lower=False,
                splitter=words_of,
                stopwords=self.stopwords,
                stemmer=Stemmer.Stemmer(self.stemmer) if self.stemmer is not None else None,
            )
        except ValueError as error:
            raise UserError(
                f"lexical.stopwords={self.stopwords} is unknown; use a language such as english, or null for none."
            ) from error

    def _make(self, documents: Texts, folder: Path) -> None:
        """Index a corpus and put the folder into its place when it is whole."""
        tokenizer = self._tokenizer()
        tokens = _Tokens(documents, tokenizer)
        vocabulary = tokenizer.get_vocab_dict()
        if not vocabulary:
            raise UserError("BM25 finds no word in the documents; check the texts, or lexical.stopwords.")
        bm25 = bm25s.BM25(k1=self.k1, b=self.b, method=self.method)
        bm25.index((tokens, vocabulary), create_empty_token=False, show_progress=False)
        beside = folder.with_name(f".{folder.name}.part")
        with disk_errors(folder):
            shutil.rmtree(beside, ignore_errors=True)  # what a killed process left
            try:
                bm25.save(beside, show_progress=False)
                digests = {path.name: digest_of_file(path) for path in sorted(beside.iterdir())}
                made = {"settings": self._settings(), "sha256": digests, "nearly_empty": tokens.nearly_empty}
                write_json(beside / "index.json", made)
                beside.replace(folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def _open(self, folder: Path) -> None:
        """Memory-map an index: arrays as plain `.npy`, everything else JSON; nothing is unpickled."""
        made = read_json(folder / "index.json")
        digests, self.nearly_empty = made["sha256"], made["nearly_empty"]
        if any(not (folder / name).exists() or digest_of_file(folder / name) != digests[name] for name in digests):
            raise UserError(f"The BM25 index {folder} is damaged; delete the folder to make it anew.")
        bm25 = bm25s.BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
        self._bm25 = bm25
        self._query_tokenizer = self._tokenizer()
        words = self._query_tokenizer.stem_to_sid if self.stemmer is not None else self._query_tokenizer.word_to_id
        words.update(bm25.vocab_dict)


class _Tokens(list):
    """The token ids of every document, as the list of lists that bm25s iterates over, several times.

    They lie in one array of 32-bit numbers, about a tenth of what lists of Python numbers would take, and become a
    list one document at a time.

    Attributes:
        nearly_empty: Documents with fewer than two words.
    """

    def __init__(self, documents: Texts, tokenizer: Tokenizer) -> None:
        lengths = []
        pieces = []
        with progress("Reading words", len(documents), "documents") as advance:
            for start in range(0, len(documents), TEXTS_AT_ONCE):
                texts = documents.take(slice(start, start + TEXTS_AT_ONCE))
                token_ids = list(tokenizer.streaming_tokenize(texts, update_vocab=True, allow_empty=False))
                lengths.append(np.array([len(ids) for ids in token_ids], dtype=np.int64))
                pieces.append(np.array([token for ids in token_ids for token in ids], dtype=np.int32))
                advance(len(texts))
        self._flat = np.concatenate(pieces)
        counts = np.concatenate(lengths)
        self._ends = np.cumsum(counts)
        self.nearly_empty = int((counts < 2).sum())

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        for end in self._ends.tolist():
            yield self._flat[start:end].tolist()
            start = end


def best_positive(scores: np.ndarray, k: int, precedence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k largest positive scores, equal ones by precedence.

    Args:
        scores: float32 `[documents]`.
        k: How many, at most.
        precedence: Which of equal scores comes first, int64 `[documents]`.

    Returns:
        Positions int64 and scores, best first.
    """
    found = np.flatnonzero(scores > 0)
    if len(found) > k:
        # Ties at the border stay in until the sort, which keeps those that go before.
        worst = np.partition(scores[found], len(found) - k)[len(found) - k]
        found = found[scores[found] >= worst]
    order = np.lexsort((precedence[found], -scores[found]))[:k]
    return found[order], scores[found[order]]
