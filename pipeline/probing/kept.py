"""What probes find out, kept by content: a probe that was killed finds its pieces again, and so does the next one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.retrieval import kept as results
from pipeline.retrieval.kept import Arrays

VERSION = 3
"""Counts up whenever a probe computes something else from the same inputs, so that nothing of before is found again."""


def kept(store: Path, what: str, made_from: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Give arrays that are determined by `made_from`, computing them only when nobody has.

    Args:
        store: The folder shared between runs; the arrays lie in `probing/<what>/` there.
        what: What they are: `linear`, `attribution`.
        made_from: Everything that determines them, JSON-like: fingerprints of towers and texts, settings, seeds.
        compute: Computes them.

    Returns:
        From name to array.
    """
    return results.kept(store, f"probing/{what}", {**made_from, "version": VERSION}, compute)
