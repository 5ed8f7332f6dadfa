"""Results that took long, kept by content: a probe that was killed finds them again, and so does the next one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import atomic_write, digest_of, locked

Arrays = Mapping[str, np.ndarray]
VERSION = 2
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
    path = Path(store) / "probing" / what / f"{digest_of({**made_from, 'version': VERSION})[:32]}.npz"
    with locked(path, f"a piece of {what}"):
        if not path.exists():
            arrays = compute()
            with atomic_write(path, "wb") as file:
                np.savez(file, allow_pickle=False, **dict[str, Any](arrays))
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
