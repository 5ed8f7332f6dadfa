"""Where datasets come from: a source writes itself once, and everybody opens what it wrote."""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from pipeline.checks import text
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.writer import DatasetWriter, sizes
from pipeline.errors import UserError
from pipeline.files import digest_of, disk_errors, locked, read_json

LAYOUT = 3
"""Counts the changes of the layout on disk, so that older folders are not mistaken for new ones."""

NAMED_FILES = 3

VIEW_ONLY = ("name", "limit", "relevant_from", "remove_self_hits")
"""Settings that change how a written folder is looked at, not what is in it."""


class Source(ABC):
    """A way to read a dataset. A subclass keeps its settings as plain attributes and streams into a writer.

    Args:
        name: What results call the dataset; None takes a name from the path.
        limit: At most so many queries a split (chosen by the hash of their ids), every document judged or given for
            them, and at most so many other documents. None: all.
        relevant_from: The smallest grade that counts as relevant.
        remove_self_hits: Whether a document whose id is the query's is dropped from results; None: in BEIR's layout, as
            in BEIR's own evaluation, and elsewhere where it has the query's text too.

    Attributes:
        version: Raised when the class reads the same files differently than before.
        first_stands: Whether a document may come again under its id with another text, and the first is kept.
        as_beir: Whether the layout is BEIR's, whose own evaluation drops documents with the query's id.
    """

    version: int = 1
    first_stands: bool = False
    as_beir: bool = False

    def __init__(
        self,
        *,
        name: str | None = None,
        limit: int | None = None,
        relevant_from: int = 1,
        remove_self_hits: bool | None = None,
    ) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise UserError(f"dataset.limit is {limit}; it must be a whole number from 1, or null for everything.")
        if type(relevant_from) is not int:
            raise UserError(f"dataset.relevant_from is {relevant_from}; it must be a whole number.")
        if remove_self_hits not in (True, False, None):
            raise UserError(f"dataset.remove_self_hits is {remove_self_hits}; it must be true, false or null.")
        self.name = (name and text("dataset.name", name)) or type(self).__name__
        self.limit = limit
        self.relevant_from = relevant_from
        self.remove_self_hits = remove_self_hits

    @abstractmethod
    def inputs(self) -> list[Path]:
        """Give the files that the source reads; a change of any makes the dataset anew.

        Raises:
            UserError: When one is missing.
        """

    @abstractmethod
    def write(self, writer: DatasetWriter) -> None:
        """Stream documents, queries and judgements into the writer.

        Raises:
            UserError: When a file cannot be understood.
        """

    def key(self) -> str:
        """Fingerprint the source's settings and the state of its files."""
        states = [(str(path.absolute()), path.stat()) for path in self.inputs()]
        settings = {name: value for name, value in vars(self).items() if name not in VIEW_ONLY}
        return digest_of(
            {
                "source": type(self).__name__,
                "version": [LAYOUT, self.version],
                "settings": settings,
                "inputs": [(path, state.st_size, state.st_mtime_ns) for path, state in states],
            }
        )


def open_dataset(source: Source, store: Path) -> Dataset:
    """Open a dataset, writing it to the store first when it is not there yet.

    Args:
        source: Where it comes from.
        store: The folder shared by runs; the dataset lies in its `datasets/`.

    Raises:
        UserError: When the source's files cannot be used.
    """
    folder = Path(store) / "datasets" / f"{source.name}-{source.key()[:16]}"
    if not _is_whole(folder):
        with locked(folder, f"the dataset {source.name}"):
            if not _is_whole(folder):
                _build(source, folder)
    removed = True if source.remove_self_hits is None and source.as_beir else source.remove_self_hits
    return read_dataset(folder, source.name, source.limit, source.relevant_from, removed)


def _build(source: Source, folder: Path) -> None:
    """Write a dataset beside its place and rename it; whatever an interrupted attempt left is removed."""
    beside = folder.with_name(f".{folder.name}.part")
    with disk_errors(folder):
        for leftover in (beside, folder):
            if leftover.exists():
                shutil.rmtree(leftover)
        try:
            writer = DatasetWriter(beside, _described(source), first_stands=source.first_stands)
            source.write(writer)
            writer.finish()
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _described(source: Source) -> str:
    """Name a dataset as errors call it: with its files, where they are few enough to look at."""
    paths = source.inputs()
    return f"{source.name} ({', '.join(map(str, paths))})" if 0 < len(paths) <= NAMED_FILES else source.name


def _is_whole(folder: Path) -> bool:
    """Tell whether a folder was written to its end and no file was cut short since."""
    if not (folder / "dataset.json").is_file():
        return False
    entry: dict[str, Any] = read_json(folder / "dataset.json")
    return entry["sizes"] == sizes(folder)
