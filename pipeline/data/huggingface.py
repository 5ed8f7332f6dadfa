"""Datasets of the library `datasets`: names on its hub, local folders, and its loaders of files."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.data.lines import ENDINGS, BadLines, read_lines
from pipeline.data.records import Fields
from pipeline.data.shares import Paths, Shares, given_splits, paths
from pipeline.data.source import Source
from pipeline.data.writer import SPLITS, DatasetWriter
from pipeline.errors import UserError, nearest

LOADERS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".json": "json", ".jsonl": "json"}
"""What the library calls the readers of single files, by the files' endings."""
SAVED = ("dataset_dict.json", "state.json")
"""What marks a folder that the library's `save_to_disk` wrote, with splits or without."""
THEIRS = {"train": ("train",), "validation": ("validation", "dev", "valid"), "test": ("test",)}
"""The names that splits go by elsewhere."""

Files = Paths | Mapping[str, str]


class HuggingFace(Source):
    """A table with a query and its documents in each row (such as Tevatron's), whatever its columns are called.

    Code that a dataset brings along is never run: the library refuses such datasets.

    Args:
        path: A name on the hub, a local folder (of files, or as `save_to_disk` writes it), a file of CSV, Parquet or JSON
            lines, or a loader (`json`, `parquet`, `csv`, `text`) with `data_files`.
        subset: The configuration, where a name has several.
        data_files: Files for a loader: one, several, or by split `{train: …, test: …}`.
        query: The column of the query.
        document: The column of the relevant document or documents: texts, or objects with `text`, `title` and an id.
        negative: The column of hard negatives; None: there are none.
        title: The column of the document's title; None: it has none.
        query_id: The column of the query's id; None: equal queries are one query.
        document_id: The column of the document's id; None: equal documents are one document.
        split: Shares of the queries where the dataset has but one split.
        validation_share: The share of training queries held out where there are `train` and others but no validation.
        **settings: Those of every source.
    """

    first_stands = True

    def __init__(
        self,
        *,
        path: str | None = None,
        subset: str | None = None,
        data_files: Files = None,
        query: str = "query",
        document: str = "document",
        negative: str | None = None,
        title: str | None = None,
        query_id: str | None = None,
        document_id: str | None = None,
        split: Mapping[str, float] | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name=name or (_name(path) if path else None), **settings)
        if path is None:
            raise UserError(
                "dataset.path is not set; give a name of the library `datasets`, a folder, a file, or a loader."
            )
        self.path = path
        self.subset = subset
        self.data_files = _plain(data_files)
        self.fields = Fields(query, document, negative, title, query_id, document_id)
        self.shares = Shares.of(split or {"test": 1.0})
        self.validation_share = validation_share

    def inputs(self) -> list[Path]:
        """Give the local files; a name on the hub has none."""
        files = self.data_files.values() if isinstance(self.data_files, dict) else [self.data_files or []]
        found = [Path(file) for each in files for file in each if Path(file).is_file()]
        if Path(self.path).is_file():
            found.append(Path(self.path))
        if Path(self.path).is_dir():
            found += sorted(path for path in Path(self.path).rglob("*") if path.is_file())
        return found

    def write(self, writer: DatasetWriter) -> None:
        """Stream every split, row by row out of the library's own files."""
        tables = load_tables(self.path, self.subset, self.data_files)
        for split, table in tables.items():
            missing = [name for name in self.fields.columns() if name not in table.column_names]
            if missing:
                raise UserError(
                    f"{self.path}, split {split}: there is no column {missing[0]!r}; "
                    f"found are {', '.join(table.column_names)}."
                )
        for split, shares in self._shares(list(tables)).items():
            shares.announce(writer)
            for where, row in rows(tables[split].select_columns(self.fields.columns()), f"{self.path}, {split}"):
                self.fields.write(row, where, shares, writer)

    def _shares(self, theirs: list[str]) -> dict[str, Shares]:
        """Decide what becomes of each of the dataset's own splits."""
        if len(theirs) == 1:
            return {theirs[0]: self.shares}
        found = {name: ours for ours, names in THEIRS.items() for name in names if name in theirs}
        if not found:
            raise UserError(f"{self.path} has the splits {', '.join(theirs)}, none of them {', '.join(SPLITS)}.")
        return {name: given_splits(found.values(), self.validation_share)[ours] for name, ours in found.items()}


def load_tables(path: str, subset: str | None, data_files: Any) -> dict[str, Any]:
    """Load every split of a dataset as a memory-mapped table.

    Raises:
        UserError: When the library cannot find or read it.
    """
    import datasets

    loader, options = _reader(Path(path)) if Path(path).is_file() else (path, {"data_files": data_files})
    try:
        if any((Path(path) / name).is_file() for name in SAVED):
            saved = datasets.load_from_disk(path)
            return dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
        return dict(datasets.load_dataset(loader, subset, **options))
    except FileNotFoundError as error:
        raise UserError(f"`datasets` finds no {path!r} here or on its hub; check dataset.path.") from error
    except (ConnectionError, OSError) as error:
        raise UserError(f"`datasets` could not reach or read {path!r} ({_first_line(error)}).") from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"`datasets` could not load {path!r}: {_first_line(error)}") from error


def _reader(path: Path) -> tuple[str, dict[str, Any]]:
    """Choose the library's loader of a file by its ending, that of a compression left aside, and the loader's options.

    Raises:
        UserError: When the ending is another.
    """
    import datasets

    endings = [ending for ending in path.suffixes if ending not in ENDINGS]
    ending = endings[-1] if endings else ""
    if ending not in LOADERS:
        raise UserError(f"{path} ends in {ending or 'nothing'}; give a file that ends in {', '.join(LOADERS)}.")
    options: dict[str, Any] = {"data_files": str(path)}
    if LOADERS[ending] == "csv":
        # A cell is a text: the id 007 is no number, and the answer `None` is not missing.
        separator = "\t" if ending == ".tsv" else ","
        header = _header(path, separator)
        columns = datasets.Features({name: datasets.Value("string") for name in header})
        options |= {"sep": separator, "keep_default_na": False, "features": columns}
    return LOADERS[ending], options


def _header(path: Path, separator: str) -> list[str]:
    """Read the names of a table's columns, as the library will, which calls one without a name by its place.

    Raises:
        UserError: When a row has another number of columns: the library would move them, or leave some out.
    """
    bad = BadLines()
    rows_of_cells = csv.reader((f"{line}\n" for _, line in read_lines(path)), delimiter=separator)
    try:
        header = next(rows_of_cells, [])
        for number, row in enumerate(rows_of_cells, start=1):
            if len(row) != len(header):
                bad.add(
                    f"{path}, row {number}: {len(row)} columns where the first line names {len(header)}; mend the row."
                )
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}); write it with a line's end after each row.") from error
    bad.refuse()
    return [name or f"Unnamed: {place}" for place, name in enumerate(header)]


def _name(path: str) -> str:
    """Name a dataset by its place: `BeIR/scifact` is called `BeIR-scifact`, and a file by its own name alone."""
    return Path(path).name.partition(".")[0] if Path(path).is_file() else path.strip("./").replace("/", "-")


def rows(table: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the rows of a table with their places."""
    for number, row in enumerate(table, start=1):
        yield f"{where}, row {number}", row


def pick(tables: dict[str, Any], name: str, where: str) -> Any:
    """Choose one table of several.

    Raises:
        UserError: When there is none of that name.
    """
    if name not in tables:
        raise UserError(f"{where} has no split {name!r}; {nearest(name, tables)}")
    return tables[name]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _plain(files: Files) -> dict[str, list[str]] | list[str] | None:
    """Read a setting that may be a path, several, or several by split."""
    if isinstance(files, Mapping):
        return {str(split): paths(each) for split, each in files.items()}
    return paths(files) or None
