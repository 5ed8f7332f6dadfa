"""Values of a configuration, refused in one sentence when they cannot be meant."""

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from pipeline.errors import UserError, nearest


def whole_number(setting: str, value: object, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        UserError: When the value is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{setting}={value} must be a whole number of at least {least}.")
    return value


def number(setting: str, value: object, least: float = 0.0, *, above: bool = False) -> float:
    """Return a finite number that is at least `least`, or above it.

    Raises:
        UserError: When the value is something else.
    """
    right = isinstance(value, Real) and not isinstance(value, bool) and float(value) < float("inf")
    if not right or not (float(value) > least if above else float(value) >= least):  # type: ignore[arg-type]
        raise UserError(f"{setting}={value} must be a number {'above' if above else 'of at least'} {least:g}.")
    return float(value)  # type: ignore[arg-type]


def one_of(setting: str, value: object, known: Iterable[str]) -> str:
    """Return a word out of the known ones.

    Raises:
        UserError: When it is another; the nearest known ones are named.
    """
    known = list(known)
    if value not in known:
        raise UserError(f"{setting}={value} is unknown; {nearest(str(value), known)}")
    return str(value)


def text(setting: str, value: object) -> str:
    """Return a text.

    Raises:
        UserError: When the value is something else.
    """
    if not isinstance(value, str):
        raise UserError(f"{setting}={value} must be text; write {setting}='\"{value}\"' if it is meant.")
    return value


def truth(setting: str, value: object) -> bool:
    """Return true or false.

    Raises:
        UserError: When the value is something else.
    """
    if not isinstance(value, bool):
        raise UserError(f"{setting}={value} must be true or false.")
    return value


def a_list(setting: str, value: object) -> list[Any]:
    """Return a list.

    Raises:
        UserError: When the value is something else.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"{setting}={value} must be a list; write {setting}=[{'…' if value is None else value}].")
    return list(value)
