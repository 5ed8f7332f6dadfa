"""The one exception for mistakes a user can mend, and the wording that goes with it."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input. Its message is one sentence: what is wrong, where, and what to do.

    The entry points print the message alone, without a traceback, and exit with status 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Name the known words nearest to a mistyped one, or all of them when none is near.

    Args:
        word: What the user wrote.
        known: The words that would have been right.

    Returns:
        A clause to put at the end of an error's sentence.
    """
    choices = sorted(known)
    close = get_close_matches(word, choices, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known are {', '.join(choices)}." if choices else "none is known."
