"""What the store takes as an id or a text."""

import re

from pipeline.errors import UserError

DECODED_TWICE = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2(?:\u0080[\u0080-\u00bf]|\u20ac[\u0153\u009d\u2122\u02dc\u201c\u201d\u00a6\u00a2])"
)
"""Letters that UTF-8's bytes become when they are read as Latin-1 or Windows' cp1252: an é as two, a dash as three."""


def require_id(id_: object, where: str, what: str) -> None:
    """Refuse ids that a run file could not hold.

    Raises:
        UserError: When it is no id, or holds white space.
    """
    require_judged_id(id_, where, what)
    if str(id_).split() != [id_]:
        raise UserError(
            f"{where}: the {what} {id_!r} holds white space, which separates columns in run files; rename it."
        )


def require_judged_id(id_: object, where: str, what: str) -> None:
    """Refuse what is no id; one that is only judged may hold white space, as nothing of that name is ever found.

    Raises:
        UserError: When it is no text, or an empty one.
    """
    if not isinstance(id_, str) or not id_:
        raise UserError(f"{where}: the {what} is {id_!r}; it must be a text that is not empty.")
    require_text(id_, what, where)


def require_text(text: object, what: str, where: str) -> None:
    """Refuse what is no text, or no text that UTF-8 can hold.

    Raises:
        UserError: When it is such a thing.
    """
    if not isinstance(text, str):
        raise UserError(f"{where}: the {what} is {text!r}, which is no text; mend the file.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{where}: the {what} holds half of a surrogate pair (character {error.start}); mend the file."
            ) from error
