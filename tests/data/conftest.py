"""Small files in every layout, and a store to open them in."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pipeline.data import Dataset, DatasetWriter, Source, open_dataset


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def opened(store: Path) -> Callable[[Source], Dataset]:
    """Open a source in this test's store."""
    return lambda source: open_dataset(source, store)


class Written(Source):
    """A source made of one function, for tests of what all sources share."""

    def __init__(self, write: Callable[[DatasetWriter], None], files: Iterable[Path] = (), **settings: Any) -> None:
        super().__init__(**({"name": "written"} | settings))
        self._write = write
        self._files = list(files)

    def key(self) -> str:
        return "0123456789abcdef"

    def inputs(self) -> list[Path]:
        return self._files

    def write(self, writer: DatasetWriter) -> None:
        self._write(writer)


@pytest.fixture
def written(store: Path) -> Callable[..., Dataset]:
    """Open a dataset that a function writes."""
    return lambda write, **settings: open_dataset(Written(write, **settings), store)


def write_json_lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def beir_folder(tmp_path: Path) -> Path:
    """Twenty documents and queries with one judgement each in train, one in three also in test."""
    folder = tmp_path / "small"
    write_json_lines(
        folder / "corpus.jsonl",
        [{"_id": f"d{n}", "title": f"Title {n}" if n % 2 else "", "text": f"text of document {n}"} for n in range(20)],
    )
    write_json_lines(folder / "queries.jsonl", [{"_id": f"q{n}", "text": f"query {n}"} for n in range(21)])
    header = "query-id\tcorpus-id\tscore\n"
    write_text(folder / "qrels" / "train.tsv", header + "".join(f"q{n}\td{n}\t1\n" for n in range(20)))
    write_text(folder / "qrels" / "test.tsv", header + "".join(f"q{n}\td{n}\t{n % 3}\n" for n in range(0, 20, 3)))
    return folder
