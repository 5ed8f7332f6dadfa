"""Sentences of documents: unlabelled texts, about as long as queries."""

import re

import numpy as np

from pipeline.data.texts import Texts
from pipeline.progress import progress

END = re.compile(r"(?<=[.!?。！？])\s+|\n\s*\n")
"""A full stop and a space, or an empty line; it need not be right about every abbreviation."""
LEAST_WORDS = 4
MOST_CHARACTERS = 600
TEXTS_AT_ONCE = 4096


def sentences_of(texts: Texts, most: int, seed: int) -> Texts:
    """Cut documents into sentences, each different from all others, of at least four words.

    Args:
        texts: The documents; they are read in an order drawn by the seed, until there are enough.
        most: Sentences at most.
        seed: Fixes which.

    Returns:
        Texts in memory, in the order in which they were found.
    """
    order = np.random.default_rng([seed, len(texts)]).permutation(len(texts))
    found: dict[str, None] = {}  # a set that keeps its order
    with progress("Cutting documents into sentences", len(texts), "documents") as advance:
        for start in range(0, len(order), TEXTS_AT_ONCE):
            rows = order[start : start + TEXTS_AT_ONCE]
            for text in texts.take(rows, "\n\n"):  # a title is no part of the first sentence
                found.update(dict.fromkeys(_sentences(text)))
            advance(len(rows))
            if len(found) >= most:
                break
    return Texts.from_pairs((f"s{number}", sentence) for number, sentence in enumerate(list(found)[:most]))


def _sentences(text: str) -> list[str]:
    """Cut one text; white space within a sentence becomes one space."""
    cut = (part.split() for part in END.split(text))
    return [" ".join(words)[:MOST_CHARACTERS] for words in cut if len(words) >= LEAST_WORDS]
