"""The folder shared between runs, as the command that runs here was told: for what is read far from its settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_SHARED: ContextVar[Path | None] = ContextVar("shared", default=None)


@contextmanager
def sharing(folder: Path | None) -> Iterator[None]:
    """Let what is made inside be kept in a folder; None keeps nothing."""
    token = _SHARED.set(None if folder is None else folder.absolute())
    try:
        yield
    finally:
        _SHARED.reset(token)


def shared_folder() -> Path | None:
    """Give the folder shared between runs, or None where nothing is kept."""
    return _SHARED.get()
