"""The embedded dataset: docstrings of the standard library and of a fixed list of packages."""

import csv
import gc
import hashlib
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.data.docstrings import Pair, read_pairs, words
from pipeline.data.lookup import hash_of
from pipeline.data.near_duplicates import NearDuplicates
from pipeline.data.shares import Shares
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError
from pipeline.progress import progress

LIBRARY = "Python"
"""What the list calls the standard library."""
LIST = Path(__file__).with_suffix(".txt")
NOT_DOCUMENTATION = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests"),
    *("idlelib", "lib2to3", "turtledemo", "_vendor", "_bundled"),
}
"""Folders that are passed over: tests, programs beside the library, and copies of other packages."""
NAMED = 6
"""So many packages that differ are named in a sentence; the dataset's notes have the versions of all."""


class PythonDocs(Source):
    """Query: a docstring's first sentence. Document: the rest of it.

    Documents have no title: what a documentation would print there, the qualified name, repeats the words of the query
    (`Return the mean` - `statistics.mean`) and would give the answer away to any lexical match.

    The split is by package. The standard library tests; of the packages in `python_docs.txt`, a share by hash validates
    and the others train. Whatever else is installed is not read. Each split searches its own documents. Nothing is
    imported, sources are only parsed.

    Args:
        pairs_per_package: How many pairs one package may give, so that the largest do not drown the others. Its files
            are read in the order of the hashes of their paths until there are enough. The standard library gives all.
        validation_pairs_per_package: The same for packages that validate: few, for they are searched again and again
            while a model trains.
        validation_share: The share of packages that validate.
        library: The folder of the standard library; None: that of the running Python.
        packages: The folder of installed packages; None: wherever the running Python finds them.
        **settings: Those of every source.
    """

    version = 2

    def __init__(
        self,
        *,
        pairs_per_package: int = 1500,
        validation_pairs_per_package: int = 200,
        validation_share: float = 0.1,
        library: str | None = None,
        packages: str | None = None,
        name: str | None = "python_docs",
        **settings: Any,
    ) -> None:
        super().__init__(name=name, **settings)
        self.limits = {"train": pairs_per_package, "validation": validation_pairs_per_package}
        if min(self.limits.values()) < 1:
            raise UserError(f"dataset.pairs_per_package is {self.limits}; a package must give at least 1 pair.")
        self.library = library or sysconfig.get_path("stdlib")
        self.packages = packages
        self.shares = Shares.held_out(validation_share)
        self.listed = read_list()

    def inputs(self) -> list[Path]:
        """Give every source file; thousands of them, so only their sizes and times are looked at."""
        files = [path for path, _ in _library(Path(self.library))]
        return [*files, *(path for found in self._found().values() for path, _ in _files(found))]

    def write(self, writer: DatasetWriter) -> None:
        """Read the library first, so that what it shares with a package is dropped from training, not from the test."""
        found = self._found()
        order = sorted(found, key=lambda package: (self.shares(package) == "train", package))
        groups = [(LIBRARY, "test", list(_library(Path(self.library))))]
        groups += [(package, self.shares(package), list(_files(found[package]))) for package in order]
        total = sum(path.stat().st_size for *_, files in groups for path, _ in files)
        intake = _Intake(writer)
        with progress("Reading docstrings", total, "bytes") as advance, _without_garbage_collection():
            given = {name: intake.package(part, files, self.limits.get(part), advance) for name, part, files in groups}
        versions = {name: _public(found[name].version) for name in order}
        writer.note("packages", {name: sum(part == name for _, part, _ in groups) for name in ("train", "validation")})
        writer.note("versions", {LIBRARY: platform.python_version(), **versions})
        writer.note("sources_fingerprint", intake.digest.hexdigest())
        writer.remark(versions_words(self.listed, writer.notes["versions"], given))

    def _found(self) -> dict[str, Distribution]:
        """Find the packages of the list that are installed with a list of their files, as any installer leaves it."""
        place = sys.path if self.packages is None else [self.packages]
        names = [name for name in self.listed if name != LIBRARY]
        each = {name: next(iter(distributions(name=name, path=place)), None) for name in names}
        return {name: found for name, found in each.items() if found is not None and found.read_text("RECORD")}


def read_list() -> dict[str, str]:
    """Read the versions that the published figures were made with, by package, Python's own first."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def versions_words(listed: dict[str, str], read: dict[str, str], given: dict[str, int]) -> str:
    """Say what was read, and what of it is not as listed; those that give most texts are named first.

    Args:
        listed: Versions by package, of the list.
        read: Versions by package, of what was there.
        given: How many pairs each package gave.
    """
    others = sorted((name for name in read if read[name] != listed[name]), key=lambda name: (-given[name], name))
    missing = [name for name in listed if name not in read]
    words = f"Docstrings of Python {read[LIBRARY]} and {len(read) - 1} packages"
    if not others and not missing:
        return f"{words}, all in the versions that the published figures were made with."
    parts = [
        f"{len(names)} {what} ({', '.join(named[:NAMED])}{f' and {len(named) - NAMED} more' * (len(named) > NAMED)})"
        for what, names, named in (
            ("in another version", others, [f"{name} {read[name]} for {listed[name]}" for name in others]),
            ("missing", missing, missing),
        )
        if names
    ]
    return f"{words}, which the published figures were not made with: {'; '.join(parts)}."


class _Intake:
    """Passes pairs on to the writer, each text once.

    Args:
        writer: Takes the texts.
    """

    def __init__(self, writer: DatasetWriter) -> None:
        self._writer = writer
        self._queries: set[str] = set()
        self._texts = NearDuplicates()
        self.digest = hashlib.sha256()

    def package(
        self, split: str, files: list[tuple[Path, str]], limit: int | None, advance: Callable[[int], None]
    ) -> int:
        """Take up to `limit` pairs of a package's files, in an order that does not favour any of its parts.

        Returns:
            How many were taken.
        """
        taken = 0
        self._writer.split(split, split)
        for path, place in sorted(files, key=lambda file: hash_of(file[1])):
            source = path.read_bytes()
            advance(len(source))
            if limit is not None and taken >= limit:
                continue
            self.digest.update(hashlib.sha256(source).digest())
            try:
                pairs = list(read_pairs(source))
            except (SyntaxError, ValueError, RecursionError):
                self._writer.count("files_that_do_not_parse")
                continue
            place = place.replace(" ", "_")
            taken += sum(self._pair(split, f"{place}:{pair.name}", pair) for pair in pairs)
        return taken

    def _pair(self, split: str, id_: str, pair: Pair) -> bool:
        """Write a pair unless its query was asked before or its text is a near-duplicate."""
        asked = words(pair.query)
        if " ".join(asked) in self._queries:
            self._writer.count("dropped_repeated_queries")
            return False
        if not self._texts.add(asked + words(pair.document)):
            self._writer.count("dropped_near_duplicates")
            return False
        self._queries.add(" ".join(asked))
        self._writer.document(id_, pair.document, collection=split, where=id_)
        self._writer.query(split, f"query:{id_}", pair.query, where=id_)
        self._writer.judge(split, f"query:{id_}", id_, 1, where=id_)
        return True


def _library(folder: Path) -> Iterator[tuple[Path, str]]:
    """Find the source files below a folder, in order, each with its place in it; those of tests are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_DOCUMENTATION)
        paths = (Path(place, file) for file in sorted(files) if file.endswith(".py"))
        yield from ((path, path.relative_to(folder).as_posix()) for path in paths)


def _files(package: Distribution) -> Iterator[tuple[Path, str]]:
    """Find the source files that a package installed, each with its place; other packages may share its folders."""
    for place, *_ in csv.reader((package.read_text("RECORD") or "").splitlines()):
        folders = PurePosixPath(place).parts[:-1]
        if place.endswith(".py") and ".." not in folders and NOT_DOCUMENTATION.isdisjoint(folders):
            path = Path(str(package.locate_file(place)))
            if path.is_file():
                yield path, place


def _public(version: str) -> str:
    """Leave the build out of a version: `2.13.0+cpu` has the sources of `2.13.0`."""
    return version.partition("+")[0]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Syntax trees have no cycles, and looking for some among their many nodes doubles the time of parsing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
