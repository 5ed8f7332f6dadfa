"""The one exception for mistakes a user can mend, and the wording that goes with it."""

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 20
"""So many words can be read in one sentence."""


class UserError(Exception):
    """Bad input. Its message is one sentence: what is wrong, where, and what to do.

    The entry points print the message alone, without a traceback, and exit with status 2.
    """


def user_sentence(error: BaseException | None) -> str | None:
    """Find the user's mistake in a chain of exceptions, if one is at its root."""
    while error is not None:
        if isinstance(error, UserError):
            return str(error)
        error = error.__cause__
    return None


def sentence_of(error: BaseException) -> str:
    """Say in one sentence what went wrong: the user's mistake at its root, or what kind of defect it is."""
    return user_sentence(error) or f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Name the known words nearest to a mistyped one: where none is near all of a few, or some of many.

    Args:
        word: What the user wrote.
        known: The words that would have been right.

    Returns:
        A clause to put at the end of an error's sentence.
    """
    choices = sorted(known)
    word = str(word)  # as nan is, in the place of a name
    close = get_close_matches(word, choices, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(choices) > FEW:
        some = get_close_matches(word, choices, n=5, cutoff=0.0)
        return f"the nearest of {len(choices)} are {', '.join(some)}."
    return f"known are {', '.join(choices)}." if choices else "none is known."
