"""`train.py -m` as it is used: cells of all fates, the same command again, a wider one, and nothing run twice."""

import json
import sys
from pathlib import Path

import pytest

import train as train_command
from tests.test_train import ROOT, pairs, settings_of, tiny_bert  # noqa: F401


@pytest.fixture(scope="module")
def sweep(tiny_bert, pairs, tmp_path_factory):  # noqa: F811
    """Runs sweeps of tiny cells in this process, in one sweep folder."""
    folder = tmp_path_factory.mktemp("sweeps") / "tiny"
    settings = [word for word in settings_of(tiny_bert, pairs, folder / "x") if not word.startswith("folder=")]
    common = [f"hydra.sweep.dir={folder}", *settings, "trainer.max_steps=2", "stage.warmup_steps=0"]

    def run(*words: str) -> tuple[Path, int]:
        before, sys.argv = sys.argv, ["train.py", "-m", *common, *words]
        try:
            train_command.main()
        except SystemExit as stopped:
            return folder, int(stopped.code or 0)
        finally:
            sys.argv = before
        return folder, 0

    return run


def cells_of(folder: Path) -> dict[tuple[str, ...], dict]:
    said = json.loads((folder / "sweep.json").read_text())
    keys = ("stage", "stage.learning_rate", "seed")
    return {tuple(cell["overrides"][key] for key in keys): cell for cell in said["cells"]}


def times_of(folder: Path) -> dict[str, int]:
    return {place.parent.name: place.stat().st_mtime_ns for place in folder.glob("*/metrics.json")}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_preview_starts_nothing(sweep, capsys):
    folder, status = sweep("stage=dpr,align", "seed=0,1", "preview=true")
    said = capsys.readouterr().err
    assert status == 0 and not folder.exists()
    assert "tiny: 4 cells, 2 to run, 0 done before, 2 skipped." in said
    assert "skipped stage=align (2 cells): stage=align needs a query tower of its own" in said
    assert "1 distinct encoder before training" in said
    assert "not known" in said


def test_cells_of_every_fate_and_the_same_command_again(sweep, capsys):
    words = ("stage=dpr,align", "stage.learning_rate=1e-3,1e38", "seed=0,1")
    folder, status = sweep(*words)
    said = capsys.readouterr()
    assert status == 2
    assert "2 of 8 cells failed, the first because: " in said.err
    assert "Failed: " in said.err and "Sweep: 2 of 4 cells done, 0 running, 2 failed" in said.err
    cells = cells_of(folder)
    assert {key: cell["state"] for key, cell in cells.items()} == {
        ("dpr", "0.001", "0"): "done",
        ("dpr", "0.001", "1"): "done",
        ("dpr", "1e+38", "0"): "failed",
        ("dpr", "1e+38", "1"): "failed",
        **{("align", rate, seed): "skipped" for rate in ("0.001", "1e+38") for seed in "01"},
    }
    failed = folder / cells["dpr", "1e+38", "0"]["folder"]
    record = json.loads((failed / "cell.json").read_text())
    assert record["state"] == "failed"
    assert record["sentence"] == cells["dpr", "1e+38", "0"]["sentence"]
    assert "Traceback" in (failed / "log.txt").read_text()

    finished = times_of(folder)
    folder, status = sweep(*words)
    assert status == 2
    assert times_of(folder) == finished, "what was finished is not run again"
    assert [cell["state"] for cell in cells_of(folder).values()].count("resumed") == 2


def test_a_wider_sweep_runs_what_is_new(sweep, capsys):
    """Cells are known by their settings: a new axis that holds the default says nothing new of the old cells."""
    folder, _ = sweep("seed=0,1")
    before = times_of(folder)
    capsys.readouterr()
    folder, status = sweep("seed=0,1,2", "pooling=own")
    assert status == 0
    after = times_of(folder)
    assert before.items() <= after.items() and len(after) == len(before) + 1
    assert "3 cells, 1 to run, 2 done before" in capsys.readouterr().err


def test_the_launcher_is_no_part_of_a_cell(sweep):
    folder, _ = sweep("seed=0,1")
    before = times_of(folder)
    folder, status = sweep("seed=0,1", "logger=csv")
    assert status == 0 and times_of(folder) == before


def test_a_preview_alone_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", "preview=true"])
    with pytest.raises(SystemExit):
        train_command.main()
    assert "preview=true is for sweeps; add -m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("seed=0,1", "folder=one"), "would share the folder one"),
        (("seed=0,0",), "would share the folder"),
        (("dataset.path=nowhere.jsonl", "seed=0,1"), "nowhere.jsonl (dataset.path) does not exist"),
        (
            ("stage=align", "query=shared", "seed=0,1"),
            "No cell of tiny can be run; the first because: stage=align needs",
        ),
        (("stage=zero_shot,dpr",), "stage=zero_shot: the choices of this cell have no setting stage."),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused_before_work(words, sentence, sweep, capsys):
    _, status = sweep(*words)
    assert status == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_value_that_cannot_be_meant_is_skipped_beside_others(sweep, capsys):
    _, status = sweep("seed=0,-1", "preview=true")
    assert status == 0
    assert "skipped seed=-1 (1 cell): seed=-1 must be a whole number" in capsys.readouterr().err


def test_a_folder_of_another_configuration_is_not_taken_for_the_cells_own(sweep, tmp_path, capsys):
    sweep("seed=0", f"folder={tmp_path / 'one'}")
    _, status = sweep("seed=7", f"folder={tmp_path / 'one'}")
    assert status == 2
    assert "holds a run of another configuration (seed is 0 there and 7 here)" in capsys.readouterr().err


def test_cells_and_axes_of_earlier_commands_stay_listed(sweep):
    sweep("seed=0,1")
    folder, _ = sweep("seed=1,2")
    said = json.loads((folder / "sweep.json").read_text())
    assert {"0", "1", "2"} <= set(said["axes"]["seed"])
    assert len({cell["folder"] for cell in said["cells"]}) == len(said["cells"]) >= 3
