"""A sweep's cells beside each other: what differed, what came out, what collapsed."""

import csv
import json

import pytest
import yaml
from rich.console import Console

from pipeline.errors import UserError
from pipeline.evaluation.cells import cells_table, read_cells, rows_of, write_cells


def planted(folder, name: str, overrides: list[str], collapsed: bool) -> None:
    place = folder / name
    place.mkdir(parents=True)
    validation = {"step": 10, "query/mean_cosine": 0.5, "query/effective_rank": 12.345}
    training = {"collapsed": collapsed, "curves": {"validation": [validation]}} | (
        {"collapsed_at": 5} if collapsed else {}
    )
    systems = {"bm25": {"mrr@10": 0.1}, "dense": {"mrr@10": 0.25}}
    training["collapsed_steps"] = [5, 10] if collapsed else [0]
    metrics = {"dataset": "toy", "fingerprint": "0123456789abcdef", "measures": ["mrr@10"], "systems": systems}
    (place / "metrics.json").write_text(json.dumps(metrics | {"training": training}))
    (place / "overrides.yaml").write_text(yaml.safe_dump(overrides))


@pytest.fixture
def sweep(tmp_path):
    planted(tmp_path, "b", ["stage=joint", "+seed=1", "dataset=squad"], True)
    planted(tmp_path, "a", ["stage=align", "+seed=1", "dataset=squad"], False)
    (tmp_path / "unfinished").mkdir()
    return tmp_path


def test_only_what_differs_is_a_column_and_finished_cells_are_rows(sweep):
    rows = rows_of(read_cells(sweep))
    assert [row["stage"] for row in rows] == ["align", "joint"]
    assert "seed" not in rows[0]
    assert [row["collapsed"] for row in rows] == ["no", "from step 5"]
    assert [row["data"] for row in rows] == ["toy (01234567)"] * 2
    assert (rows[0]["mrr@10"], rows[0]["query rank"], rows[0]["document rank"]) == (0.25, 12.345, None)


def test_an_approximate_index_has_its_recall_in_the_row(sweep):
    path = sweep / "b" / "metrics.json"
    found = {"dense": {"index": "faiss IVF64,Flat", "approximate": {"recall": {"10": 0.5, "1000": 0.125}}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"details": found}))
    rows = rows_of(read_cells(sweep))
    assert [row.get("recall@1000 of exact search") for row in rows] == [None, 0.125]
    console = Console(width=200, record=True)
    console.print(cells_table(rows, "a sweep"))
    assert "0.1250" in console.export_text()


def test_a_single_cell_is_named_by_its_folder(tmp_path):
    planted(tmp_path, "only", ["stage=joint"], False)
    assert rows_of(read_cells(tmp_path))[0]["run"] == "only"


def test_cells_that_chose_the_same_are_told_apart_by_their_folders(sweep):
    planted(sweep, "c", ["stage=align", "+seed=1", "dataset=squad"], False)
    assert [(row["run"], row["stage"]) for row in rows_of(read_cells(sweep))] == [
        ("a", "align"),
        ("c", "align"),
        ("b", "joint"),
    ]


def test_an_evaluation_of_one_model_is_no_cell(sweep):
    planted(sweep, "evaluate", ["split=train"], False)
    place = sweep / "evaluate" / "metrics.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"training": {}}))
    assert [cell.name for cell in read_cells(sweep)] == ["a", "b"]


def test_rows_are_shown_and_written_whole(sweep):
    rows = rows_of(read_cells(sweep))
    console = Console(width=200, record=True, quiet=False)
    console.print(cells_table(rows, "a sweep"))
    text = console.export_text()
    assert "12.3" in text
    assert "from step 5" in text
    write_cells(rows, sweep / "cells.csv")
    with open(sweep / "cells.csv", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["stage"] for row in read] == ["align", "joint"]
    assert float(read[0]["query rank"]) == 12.345


def test_a_folder_without_finished_cells_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run folder"):
        read_cells(tmp_path)


def test_a_collapse_that_passed_is_said(tmp_path):
    planted(tmp_path, "a", ["stage=joint"], False)
    place = tmp_path / "a" / "metrics.json"
    metrics = json.loads(place.read_text())
    metrics["training"]["collapsed_steps"] = [50, 75]
    place.write_text(json.dumps(metrics))
    assert rows_of(read_cells(tmp_path))[0]["collapsed"] == "at step 50, recovered"
