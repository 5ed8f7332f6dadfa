"""The embedded dataset: docstrings of the standard library and of the installed packages, as any installation has them."""

import gc
import hashlib
import os
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from pipeline.data.docstrings import Pair, read_pairs, words
from pipeline.data.lookup import hash_of
from pipeline.data.near_duplicates import NearDuplicates
from pipeline.data.shares import Shares
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError
from pipeline.progress import progress

LIBRARY = "the standard library"
NOT_DOCUMENTATION = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests"),
    *("idlelib", "lib2to3", "turtledemo", "_vendor", "_bundled"),
}
"""Folders that are passed over: tests, programs beside the library, and copies of other packages."""


class PythonDocs(Source):
    """Query: a docstring's first sentence. Document: the rest of it.

    Documents have no title: what a documentation would print there, the qualified name, repeats the words of the query
    (`Return the mean` - `statistics.mean`) and would give the answer away to any lexical match.

    The split is by package. The standard library tests; of the installed distributions, a share by hash validates and
    the others train. Each split searches its own documents. Nothing is imported, sources are only parsed.

    Args:
        pairs_per_package: How many pairs one package may give, so that the largest do not drown the others. Its files
            are read in the order of the hashes of their paths until there are enough. The standard library gives all.
        validation_pairs_per_package: The same for packages that validate: few, for they are searched again and again
            while a model trains.
        validation_share: The share of distributions that validate.
        library: The folder of the standard library; None: that of the running Python.
        packages: The folder of installed packages; None: that of the running Python.
        **settings: Those of every source.
    """

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
        self.packages = packages or sysconfig.get_path("purelib")
        self.shares = Shares.held_out(validation_share)

    def inputs(self) -> list[Path]:
        """Give every source file; thousands of them, so only their sizes and times are looked at."""
        return [path for folder in (self.library, self.packages) for path in _sources(Path(folder))]

    def write(self, writer: DatasetWriter) -> None:
        """Read the library first, so that what it shares with a package is dropped from training, not from the test."""
        by_package = _by_package(Path(self.packages))
        order = sorted(by_package, key=lambda package: (self.shares(package) == "train", package))
        groups = [(LIBRARY, "test", Path(self.library), list(_sources(Path(self.library))))]
        groups += [(package, self.shares(package), Path(self.packages), by_package[package]) for package in order]
        total = sum(path.stat().st_size for *_, files in groups for path in files)
        intake = _Intake(writer)
        with progress("Reading docstrings", total, "bytes") as advance, _without_garbage_collection():
            for _, split, folder, files in groups:
                intake.package(split, folder, files, self.limits.get(split), advance)
        writer.note("packages", {name: sum(part == name for _, part, *_ in groups) for name in ("train", "validation")})
        writer.note("sources_fingerprint", intake.digest.hexdigest())


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
        self, split: str, folder: Path, files: list[Path], limit: int | None, advance: Callable[[int], None]
    ) -> None:
        """Take up to `limit` pairs of a package's files, in an order that does not favour any of its parts."""
        taken = 0
        self._writer.split(split, split)
        for path in sorted(files, key=lambda path: hash_of(path.relative_to(folder).as_posix())):
            source = path.read_bytes()
            advance(len(source))
            if limit is not None and taken >= limit:
                continue
            self.digest.update(hashlib.sha256(source).digest())
            place = path.relative_to(folder).as_posix().replace(" ", "_")
            try:
                pairs = list(read_pairs(source))
            except (SyntaxError, ValueError, RecursionError):
                self._writer.count("files_that_do_not_parse")
                continue
            taken += sum(self._pair(split, f"{place}:{pair.name}", pair) for pair in pairs)

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


def _sources(folder: Path) -> Iterator[Path]:
    """Find the source files below a folder, in order, those of tests left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_DOCUMENTATION)
        yield from (Path(place, file) for file in sorted(files) if file.endswith(".py"))


def _by_package(folder: Path) -> dict[str, list[Path]]:
    """Group source files by the distribution that installed them, or by their top folder where none says so."""
    distributions = packages_distributions()
    found: dict[str, list[Path]] = {}
    for path in _sources(folder):
        top = path.relative_to(folder).parts[0].removesuffix(".py")
        found.setdefault(min(distributions.get(top, [top])), []).append(path)
    return found


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
