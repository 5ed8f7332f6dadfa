"""Entities under invented names, the same everywhere in a collection, so that no checkpoint can have read of them."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
"""Letters, with apostrophes inside: `O'Brien` is one word, `Anglo-Saxon` two."""

ENDING = re.compile(r"['’](?:s|m|d|t|ll|re|ve)$", re.IGNORECASE)
"""A possessive, or what a contraction leaves: no part of the word."""

INSIDE = re.compile(r"[ ,'’-]+|[ ,-]*\d[\d ,-]*")
"""What may stand between two words of one sentence, so that a capital after it is not due to a beginning."""

LOWER_SHARE = 0.1
"""A word is a name when its lower-case occurrences are at most this part of its capitalised ones inside sentences."""

CALENDAR = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ]
)
"""Always capitalised and no entity: a question that asks when keeps its meaning."""

NUMERAL = re.compile(r"x{0,3}(?:ix|iv|v?i{0,3})")
"""Roman, up to 39: numbers stay."""

ONSETS = [
    "b",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "t",
    "v",
    "w",
    "y",
    "z",
    "br",
    "dr",
    "gr",
    "kl",
    "pl",
    "tr",
]
VOWELS = ["a", "e", "i", "o", "u"]
CODAS = ["", "n", "r", "l", "m", "k", "t"]
"""No word ends in s, so that a plural can be told from a singular."""


class Renaming:
    """Gives every name of a collection an invented, pronounceable word: one to one, in text, titles and questions.

    No model recognises entities. A name is a word of two letters or more that stands capitalised inside sentences of the
    paragraphs and (almost) never in lower case; months and days are left. Its invented word is a hash of it alone but
    for collisions, is unknown to the whole collection, begins with a vowel where it does (so that `an` stays right) and
    takes over capitals, possessives and the plural's s. Numbers stay, for questions count and compare with them; so do
    names that only ever begin sentences.

    Args:
        paragraphs: What decides which words are names; questions are typed too carelessly to.
        others: Titles and questions: no invented word may stand in them either.

    Attributes:
        names: From a name in lower case to its invented word in lower case.
    """

    def __init__(self, paragraphs: Iterable[str], others: Iterable[str]) -> None:
        inside: Counter[str] = Counter()
        lower: Counter[str] = Counter()
        known: set[str] = set()
        for text in paragraphs:
            for word, begins in _words(text):
                known.add(word.lower())
                if word.islower():
                    lower[word] += 1
                elif word[0].isupper() and not begins:
                    inside[word.lower()] += 1
        known |= {word.lower() for text in others for word, _ in _words(text)}
        found = {word for word, count in inside.items() if len(word) > 1 and lower[word] <= LOWER_SHARE * count}
        found = {word for word in found - CALENDAR if not NUMERAL.fullmatch(word)}
        self._ordinary = set(lower) - found
        self.names = _invented({name for name in found if _singular(name) not in found}, known)

    def __call__(self, text: str) -> str:
        """Rename every name in a text, and leave all else as it is."""
        return WORD.sub(lambda match: self._renamed(match[0]), text)

    def _renamed(self, word: str) -> str:
        stem = ENDING.sub("", word)
        ending = word[len(stem) :]
        name = stem.lower()
        if name in self.names:
            return _cased(self.names[name], stem) + ending
        if _singular(name) in self.names and name not in self._ordinary:
            return _cased(self.names[_singular(name)] + "s", stem) + ending
        return word


def _words(text: str) -> list[tuple[str, bool]]:
    """Give the words of a text without their endings, each with whether it may begin a sentence."""
    words: list[tuple[str, bool]] = []
    end = 0
    for match in WORD.finditer(text):
        begins = not words or INSIDE.fullmatch(text, end, match.start()) is None
        words.append((ENDING.sub("", match[0]), begins))
        end = match.end()
    return words


def _singular(name: str) -> str:
    """Take a plural's s away; the empty text where there is none."""
    return name[:-1] if name.endswith("s") else ""


def _cased(invented: str, like: str) -> str:
    """Write an invented word with the capitals of the name it stands for."""
    if len(like) > 1 and like.isupper():
        return invented.upper()
    return invented.capitalize() if like[0].isupper() else invented


def _invented(names: set[str], known: set[str]) -> dict[str, str]:
    """Invent one word for each name; a word that is known, or taken, is drawn again."""
    invented: dict[str, str] = {}
    taken = set(known)
    for name in sorted(names):
        attempt = 0
        while (word := _pronounceable(name, attempt)) in taken or word + "s" in taken:
            attempt += 1
        invented[name] = word
        taken.add(word)
    return invented


def _pronounceable(name: str, attempt: int) -> str:
    """Hash a name to a word of two or three syllables, longer for longer names."""
    drawn = hashlib.blake2b(f"{attempt} {name}".encode()).digest()
    syllables = 2 if len(name) < 7 else 3
    parts = [_pick(ONSETS, drawn[place]) + _pick(VOWELS, drawn[place + 1]) for place in range(0, 2 * syllables, 2)]
    if name[0] in VOWELS:
        parts[0] = parts[0][-1]
    return "".join(parts) + _pick(CODAS, drawn[-1])


def _pick(choices: list[str], drawn: int) -> str:
    return choices[drawn % len(choices)]
