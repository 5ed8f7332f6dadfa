"""Names of systems and models: made of the paths that they come from, and never two for one file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.data.lines import unpacked
from pipeline.errors import UserError

HYBRID = "{}+bm25"
"""What a model's system with BM25 is called, where there are several models."""
RESERVED = ("bm25", "dense", "hybrid", "zero_shot")
"""What results call systems of their own."""


def distinct_names(paths: Sequence[Path], reserved: Sequence[str] = (), forms: Sequence[str] = ("{}",)) -> list[str]:
    """Name paths by their last part, or by as many as it takes to tell them apart, or by a number behind it.

    Two names differ in more than upper and lower case, so that no file system takes them for one.

    Args:
        paths: What is named.
        reserved: Names that are taken.
        forms: What each name is used in; nothing that comes of two names is the same.

    Returns:
        Names without white space or slashes, fit for file names and a run's tag.

    Raises:
        UserError: When a path is there twice.
    """
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]} is given twice; name it once.")
    taken = {_file_key(name) for name in reserved}
    names = [""] * len(paths)
    tails = _telling_tails(paths, taken)
    plain = [re.sub(r"[\s/\\]+", "_", tail) for tail in tails]
    # What is called so as it stands keeps that name, whatever others are put together to.
    for place in sorted(range(len(paths)), key=lambda place: plain[place] != tails[place]):
        first = name = plain[place]
        number = 1
        while taken & {_file_key(form.format(name)) for form in forms}:
            number += 1
            name = f"{first}_{number}"
        taken |= {_file_key(form.format(name)) for form in forms}
        names[place] = name
    return names


def file_labels(paths: Sequence[Path]) -> list[Path]:
    """Put in place of each file's name what a run is called by: the name without its ending, or TREC's `input.RUNID`.

    Where files of one folder would be called the same, the ending says which is which, and stays.
    """
    labels = [path.parent / _label(path.name) for path in paths]
    shared = Counter(labels)
    return [path if shared[label] > 1 else label for path, label in zip(paths, labels, strict=True)]


def require_once(paths: Sequence[Path]) -> None:
    """Refuse one file or folder under two paths, which would be two systems.

    Raises:
        UserError: Naming both paths.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        other = seen.setdefault(path.resolve(), path)
        if other != path:
            raise UserError(f"{path} is {other} again, by another path; name it once.")


def require_file_names(setting: str, names: Iterable[str]) -> None:
    """Refuse names that become files and cannot, or two that some file systems take for one.

    Args:
        setting: Where the names are given, such as `models`.
        names: The keys there.

    Raises:
        UserError: Naming the setting.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not re.fullmatch(r"\w[\w .+-]*", name):
            raise UserError(f"{setting}.{name} becomes a file's name; use letters, digits, - and _ in it.")
        other = seen.setdefault(_file_key(name), name)
        if other != name:
            raise UserError(f"{setting}.{other} and {setting}.{name} would share files; give them other names.")


def _telling_tails(paths: Sequence[Path], taken: set[str]) -> list[str]:
    """Give the last part of each path, and more of those that share it or have it reserved."""
    lengths = [1] * len(paths)
    while True:
        tails = ["/".join(path.parts[-length:]) for path, length in zip(paths, lengths, strict=True)]
        count = Counter(tails)
        short = [
            place
            for place, tail in enumerate(tails)
            if (count[tail] > 1 or _file_key(tail) in taken) and lengths[place] < len(paths[place].parts)
        ]
        if not short:
            return tails
        for place in short:
            lengths[place] += 1


def _label(name: str) -> str:
    """Call a run file by its run id where TREC's own naming has it, or else by its name without its ending."""
    plain = unpacked(name)
    return plain.removeprefix("input.") or plain if plain.startswith("input.") else Path(plain).stem


def _file_key(name: str) -> str:
    """Give names that some file system takes for one the same key."""
    return unicodedata.normalize("NFKC", name).casefold()
