"""How rare each token of a vocabulary is in a list of texts."""

from collections.abc import Sequence

import numpy as np

from pipeline.data.texts import Texts
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.errors import UserError

TEXTS_COUNTED = 100_000
"""Texts that are read at most, evenly spread: enough to know which words are common."""
TEXTS_AT_ONCE = 4096


def inverse_document_frequencies(tokenizer: TextTokenizer, texts: Sequence[Texts], asker: str) -> np.ndarray:
    """Weigh every entry of a vocabulary by log(1 + (N - n + 0.5) / (n + 0.5)), n of N texts having it (as in BM25).

    Args:
        tokenizer: Its vocabulary.
        texts: The texts.
        asker: What needs them, for the message.

    Returns:
        float32 [vocabulary], above 0.

    Raises:
        UserError: When there is no text.
    """
    total = sum(map(len, texts))
    if not total:
        raise UserError(
            f"{asker} weighs tokens by their rarity in the training split, which this dataset does not have."
        )
    step = max(1, -(-total // TEXTS_COUNTED))
    counts, read = np.zeros(tokenizer.size, dtype=np.int64), 0
    for part in texts:
        positions = np.arange(0, len(part), step)
        for start in range(0, len(positions), TEXTS_AT_ONCE):
            for ids in tokenizer.token_ids(part.take(positions[start : start + TEXTS_AT_ONCE]))[0]:
                counts[list(set(ids))] += 1
        read += len(positions)
    return np.log1p((read - counts + 0.5) / (counts + 0.5)).astype(np.float32)
