"""The words of a text in any script: what BM25 counts.

Letters, digits and underscores that stand together are a word, with the marks on them: the vowel signs of Hindi, the
points of Arabic and Hebrew. Where a script sets no spaces between words, every two neighbouring characters are one, as
in Lucene's CJKAnalyzer, and a character that stands alone is one by itself.
"""

import unicodedata
from itertools import pairwise
from typing import Any

import regex

MARKS = r"[\p{M}\u200C\u200D]*"
LETTER = r"[\p{L}\p{N}]"
UNSPACED = rf"[{LETTER}&&[\p{{scx=Han}}\p{{scx=Hiragana}}\p{{scx=Katakana}}\p{{Hangul}}\p{{LB=SA}}]]"
"""Characters of scripts without spaces. Unicode's line breaking class SA is the Thai, Lao, Khmer, Burmese and related
scripts. Korean has spaces, between words with all their endings; Lucene takes its characters by twos too."""

SPACED = rf"[[{LETTER}_]--{UNSPACED}]"
LONG = rf"{SPACED}{MARKS}(?:{SPACED}{MARKS})+"
ALONE = rf"(?<!\w['’.])[{SPACED}--_]{MARKS}(?!['’.]\w)"
"""A letter or digit by itself, as in "vitamin C". One that an apostrophe or a full stop joins to others is a part of
theirs: "cell's", "e.g.", "0.5"."""

CHARACTER = rf"{UNSPACED}{MARKS}"
PIECE = regex.compile(rf"({LONG}|{ALONE})|((?:{CHARACTER})+)", regex.VERSION1)
CHARACTERS = regex.compile(CHARACTER, regex.VERSION1)

RULES: dict[str, Any] = {
    "version": 1,
    "piece": PIECE.pattern,
    "regex": regex.__version__,
    "unicode": unicodedata.unidata_version,
}
"""What decides the words of a text; the version counts up when `words_of` changes."""


def words_of(text: str) -> list[str]:
    """Split a text into words, in lower case and in Unicode's form NFKC, where full-width letters are letters."""
    found: list[str] = []
    for word, unspaced in PIECE.findall(unicodedata.normalize("NFKC", text).lower()):
        if word:
            found.append(word)
        else:
            characters = CHARACTERS.findall(unspaced)
            found += map("".join, pairwise(characters)) if len(characters) > 1 else characters
    return found
