"""Names of folders that commands are given: what people read of the overrides, and a digest of all settings."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import digest_of

ELSEWHERE = ("folder", "tables", "logger", "preview", "threads")
"""Settings that say where and how fast things go, not what comes out; runs that differ only in them are the same."""
BETWEEN = "--"
"""Between the words of a folder's name, which has letters, digits, `_`, `-` and `.` alone: shells, Hydra's command line
and file systems take it without quotes."""
LONGEST_NAME = 160
"""In letters; file systems take 255, and others put something before or after it."""
LONG_WORD = 40
"""In letters: of a name that is too long, words above this go first."""
UNNAMED = (*ELSEWHERE, "launcher", "hydra")
"""Overrides that a folder is not named by."""


def folder_for(within: Path, first: str, overrides: list[str], settings: dict[str, Any]) -> Path:
    """Find the folder of a run with these settings, whatever overrides it was named by, or name a new one."""
    digest = digest_of(settings)[:8]
    # Those with commas, and those of a digest alone, are of older versions.
    there = sorted(path for pattern in (f"*{BETWEEN}{digest}", f"*,{digest}", digest) for path in within.glob(pattern))
    return there[0] if there else within / _name(first, overrides, settings, digest)


def _name(first: str, overrides: list[str], settings: dict[str, Any], digest: str) -> str:
    """Name a folder by its overrides, for people, and by its settings, so that no two runs share one."""
    words = said_overrides(overrides, settings=settings).items()
    said = [f"{key}-{value}" if value else key for key, value in words]
    return folder_name_of(first, [word for word in said if word != first], digest)


def folder_name_of(first: str, words: Sequence[str], digest: str) -> str:
    """Put a folder's name together, as many of the words as there is room for.

    Args:
        first: What it begins with; may be empty.
        words: What it says to people.
        digest: What it is found by.
    """
    start, said = [first] if first else [], [re.sub(r"[^\w.-]", ".", word, flags=re.ASCII) for word in words]
    while said and len(BETWEEN.join([*start, *said, digest])) > LONGEST_NAME:
        said.remove(max(said, key=lambda word: max(len(word), LONG_WORD)))  # the longest, or of short ones the first
    return BETWEEN.join([*(start + said or ["run"]), digest])  # a digest alone may look like a number


def said_overrides(
    overrides: Sequence[str], without: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Say in short what overrides chose, those left out that say where and how fast things go.

    Args:
        overrides: As `key=value`.
        without: Further keys to leave out.
        settings: Of the composed configuration; the last part of a key stands for it where it is that of no other.

    Returns:
        Words for values, by what keys are called; in ASCII's letters, digits, `_`, `-` and `.`.
    """
    pairs = sorted((override.lstrip("+~").partition("=") for override in overrides), key="".join)
    said = {key: value for key, _, value in pairs if key.partition(".")[0] not in UNNAMED and key not in without}
    last = Counter(key.split(".")[-1] for key in {*said, *flattened(settings or {})})
    return {key if last[short := key.split(".")[-1]] > 1 else short: _short(value) for key, value in said.items()}


def _short(value: str) -> str:
    """Shorten paths to their last parts, of a run folder's model to the run's."""
    value = re.sub(r"(/model)?/*(?=$|[\s,\]}'\"])", "", value)
    value = re.sub(r"[^\s,:\[\]{}]*/", "", value)
    value = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", value).strip("_")


def flattened(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Give nested settings by their whole keys, as a command line writes them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found.update(flattened(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value})
    return found
