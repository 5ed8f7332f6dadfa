"""Folders that are finished, half-written, older, repeated or broken."""

import json

import pytest

from pipeline.errors import UserError
from pipeline.reporting.command import _subtitle
from pipeline.reporting.html import render_html
from pipeline.reporting.reading import read_folders
from pipeline.reporting.sections import sections_of
from tests.reporting.planted import plant_grid, plant_probe, plant_run, plant_scores, scores_of


def absent(cells) -> dict[str, str]:
    return {one.name: one.state for one in cells.absent}


def test_what_is_not_finished_is_named_with_its_reason(tmp_path):
    plant_grid(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "failed").mkdir()
    record = {"state": "failed", "sentence": "Out of memory.", "started": "2026-01-01T00:00:00", "seconds": 1}
    record |= {"host": "here", "pid": 1}
    (tmp_path / "failed" / "cell.json").write_text(json.dumps(record))
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "metrics.json").write_text('{"systems": {"dense": {"mrr": 1.0}}}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "metrics.json").write_text('{"systems": ')
    cut = plant_run(tmp_path / "cut", seed=7)
    lines = (cut / "per_query.csv").read_text().splitlines()
    (cut / "per_query.csv").write_text("\n".join(lines[:-3]))
    cells = read_folders([tmp_path])
    assert len(cells) == 4
    assert absent(cells) == {
        "broken": "left out",
        "cut": "left out",
        "failed": "failed",
        "half": "unfinished",
        "older": "left out",
    }
    sentences = {one.name: one.sentence for one in cells.absent}
    assert sentences["failed"] == "Out of memory."
    assert "does not say dataset" in sentences["older"]
    assert sentences["broken"].startswith("Its files are of an older or unknown form (metrics.json, line 1: malformed")


def test_evaluations_of_other_files_under_one_name_are_not_taken_for_one(tmp_path):
    for name, level in (("before", 0.3), ("after", 0.6)):
        plant_scores(tmp_path / name, {"bm25": scores_of(1, 0.2), "dense": scores_of(2, level)})
        (tmp_path / name / "config.yaml").write_text("run_files: [a.trec]\n")  # as its inputs.json alone can tell
        (tmp_path / name / "overrides.yaml").write_text("['run_files=[a.trec]']\n")
    cells = read_folders([tmp_path / "before", tmp_path / "after"])
    assert [(cell.name, cell.config, cell.overrides) for cell in cells] == [("before", {}, {}), ("after", {}, {})]


def test_what_a_sweep_tells_of_skipped_cells_is_kept(tmp_path):
    plant_grid(tmp_path)
    cells = [
        {"folder": "pretrained-0", "overrides": {}, "state": "done", "sentence": None},
        {"folder": None, "overrides": {"stage": "align"}, "state": "skipped", "sentence": "It has one tower."},
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"name": "grid", "axes": {"seed": [0, 1]}, "cells": cells}))
    read = read_folders([tmp_path])
    assert [(one.name, one.state, one.sentence) for one in read.absent] == [
        ("stage=align", "skipped", "It has one tower.")
    ]
    assert next(iter(read.sweeps.values()))["axes"] == {"seed": [0, 1]}


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"seconds": "long", "state": 3}', "\udce4"])
def test_damaged_side_files_throw_no_finished_run_out(tmp_path, content):
    plant_grid(tmp_path)
    for name in ("cell.json", "cost.json", "timings.json", "overrides.yaml", "latency.csv", "quarters.csv"):
        (tmp_path / "random-1" / name).write_bytes(content.encode(errors="surrogateescape"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "cell.json").write_bytes(content.encode(errors="surrogateescape"))
    cells = read_folders([tmp_path])
    assert len(cells) == 4 and absent(cells) == {"half": "unfinished"}
    assert len(sections_of(cells)) > 3
    render_html("t", _subtitle(cells), "f", sections_of(cells))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"words"',
        '{"name": 3, "axes": ["seed"], "cells": {}}',
        '{"name": "grid", "axes": {"seed": 3}, "cells": ["a", {"folder": 3}, {"overrides": [], "state": "failed"}]}',
    ],
)
def test_a_damaged_sweep_file_is_a_note(tmp_path, content):
    plant_grid(tmp_path)
    (tmp_path / "sweep.json").write_text(content)
    cells = read_folders([tmp_path])
    assert len(cells) == 4 and cells.absent == []
    (note,) = cells.notes
    assert "sweep.json" in note and "left out" in note
    assert note in sections_of(cells)[0].notes


def test_a_skipped_cell_without_overrides_is_named_all_the_same(tmp_path):
    plant_grid(tmp_path)
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": [{"state": "skipped", "folder": "none"}]}))
    cells = read_folders([tmp_path])
    assert absent(cells) == {"none": "skipped"} and cells.notes == []


def test_run_evaluation_probe_and_masked_lm_folders_are_told_apart(tmp_path):
    run = plant_run(tmp_path / "run")
    plant_scores(tmp_path / "evaluation", {"bm25": scores_of(0, 0.3), "ours": scores_of(1, 0.5)})
    plant_probe(tmp_path / "probe", b"")
    (tmp_path / "mlm").mkdir()
    record = {"training": {"pretraining": {"loss": 5.0, "learned": True}}, "systems": {}}
    (tmp_path / "mlm" / "metrics.json").write_text(json.dumps(record))
    cells = read_folders([tmp_path / name for name in ("run", "evaluation", "probe", "mlm")])
    assert [cell.name for cell in cells] == ["run", "evaluation"]
    assert [probe.title for probe in cells.probes] == ["linear: base on toy"]
    assert [masked.record["loss"] for masked in cells.masked] == [5.0]
    assert read_folders([run]).finished[0].seed == 0


def test_a_run_that_is_there_twice_is_no_second_seed(tmp_path):
    plant_run(tmp_path / "a")
    plant_run(tmp_path / "b")
    cells = read_folders([tmp_path])
    assert [cell.name for cell in cells] == ["a"]
    assert "repeats a" in cells.absent[0].sentence


def test_unlike_datasets_and_unlike_measures_are_not_compared(tmp_path):
    plant_run(tmp_path / "a", seed=0)
    plant_run(tmp_path / "b", seed=1, dataset="other")
    plant_run(tmp_path / "c", seed=2, measure="mrr@10")
    groups = read_folders([tmp_path]).groups()
    assert [(group.title, group.measures) for group in groups] == [
        ("toy (toy), test, ndcg@10", ["ndcg@10"]),
        ("toy (toy), test, mrr@10", ["mrr@10"]),
        ("other (other), test", ["ndcg@10"]),
    ]


def test_no_two_groups_have_one_title(tmp_path):
    changes = ({}, {"fingerprint": "1a2b3c4d5e"}, {"relevant_from": 2}, {"remove_self_hits": True}, {"documents": 99})
    for number, change in enumerate(changes):
        run = plant_run(tmp_path / str(number), seed=number)
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | change))
    titles = [group.title for group in read_folders([tmp_path]).groups()]
    assert len(set(titles)) == len(changes) and "toy (1a2b3c4d), test" in titles


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "none", "none does not exist; check the path, or where the sweep has been moved to."),
        (lambda folder: folder, "holds no finished run, evaluation or probe; give finished folders"),
    ],
)
def test_folders_without_anything_are_refused(tmp_path, make, sentence):
    with pytest.raises(UserError, match="compare") as refused:
        read_folders([make(tmp_path)])
    assert sentence in str(refused.value)


def test_a_sweep_of_which_nothing_is_finished_says_what_is_there(tmp_path):
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(UserError, match="cell is unfinished"):
        read_folders([tmp_path])
