"""Results that took long, kept by content: a command that was killed finds them again, and so does another one.

A file holds the checksum of what follows it, and then the arrays as numpy's `.npz`.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import atomic_write, digest_of, locked
from pipeline.retrieval.blocks import CHECKSUM_BYTES, checksum
from pipeline.retrieval.hits import Hits

Arrays = Mapping[str, np.ndarray]
VERSION = 2
"""Counts up whenever a search or a measurement finds something else in the same inputs."""


def kept(store: Path, what: str, made_from: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Give arrays that are determined by `made_from`, computing them only when nobody has.

    Args:
        store: The folder shared between runs; the arrays lie in `<what>/` there.
        what: What they are: `runs`, `probing/linear`.
        made_from: Everything that determines them, JSON-like: fingerprints of towers and texts, settings, seeds.
        compute: Computes them; asked again where what was kept is damaged.

    Returns:
        From name to array.

    Raises:
        UserError: When the disk is full.
    """
    path = Path(store) / what / f"{digest_of(made_from)[:32]}.kept"
    found = _read(path)
    if found is None:
        with locked(path, f"a piece of {what}"):
            found = _read(path)
            if found is None:
                found = dict(compute())
                _write(path, found)
    return found


def kept_hits(
    store: Path, made_from: Mapping[str, Any], search: Callable[[], tuple[Hits, dict[str, Any]]]
) -> tuple[Hits, dict[str, Any]]:
    """Give what a search finds, searching only when nobody has.

    Args:
        store: The folder shared between runs; the rankings lie in `runs/` there.
        made_from: Everything that determines them, as in `kept`.
        search: Finds them, with a JSON-like account of how.

    Returns:
        The hits and the account.
    """

    def compute() -> Arrays:
        hits, details = search()
        fits = hits.positions.max(initial=0) <= np.iinfo(np.int32).max
        positions = hits.positions.astype(np.int32) if fits else hits.positions  # a third of the disk less
        return {"positions": positions, "scores": hits.scores, "details": _letters(details)}

    found = kept(store, "runs", {**made_from, "version": VERSION}, compute)
    hits = Hits(found["positions"].astype(np.int64), found["scores"])
    return hits, _value(found["details"])


def kept_figures(
    store: Path, what: str, made_from: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Give figures by name, measuring only when nobody has; arguments as in `kept`."""
    found = kept(store, what, {**made_from, "version": VERSION}, lambda: {"figures": _letters(measure())})
    return _value(found["figures"])


def _write(path: Path, arrays: Arrays) -> None:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **dict[str, Any](arrays))
    with atomic_write(path, "wb") as file:
        file.write(bytes.fromhex(checksum(content.getbuffer())))
        file.write(content.getbuffer())


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Read a file, or nothing where it is missing or damaged."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    if checksum(content[CHECKSUM_BYTES:]) != content[:CHECKSUM_BYTES].hex():
        return None
    with np.load(io.BytesIO(content[CHECKSUM_BYTES:]), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _letters(value: dict[str, Any]) -> np.ndarray:
    """Write a JSON-like value as an array of bytes, floats to the last digit."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _value(letters: np.ndarray) -> dict[str, Any]:
    return json.loads(letters.tobytes())
