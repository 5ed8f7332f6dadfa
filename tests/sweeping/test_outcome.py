"""What became of a cell, told from its run folder alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.errors import UserError
from pipeline.evaluation.cell_record import read_record, recorded
from pipeline.evaluation.result_folder import LOCK
from pipeline.files import is_locked, locked
from pipeline.sweeping.outcome import outcome_of
from pipeline.sweeping.plan import PlannedCell
from pipeline.sweeping.preview import preview
from pipeline.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]


def planned(within: Path, seed: int = 0, reason: str | None = None, kind: str = "a") -> PlannedCell:
    folder = RunFolder(OmegaConf.create({"folder": None, "seed": seed}), [f"seed={seed}"], within)
    return PlannedCell((f"seed={seed}", "x=1"), folder, reason, folder.finished, "t", kind, read_record(folder.path))


def state(cell: PlannedCell, within: Path, unrecorded: str | None = None) -> str:
    return outcome_of(cell, ["seed"], within, unrecorded).state


def test_a_cell_from_its_first_second_to_its_end(tmp_path):
    cell = planned(tmp_path)
    assert state(cell, tmp_path) == "waiting"
    with locked(cell.folder.path / LOCK, "it"), recorded(cell.folder.path):
        assert state(cell, tmp_path) == "running"
    cell.folder.metrics.write_text("{}")
    outcome = outcome_of(cell, ["seed"], tmp_path)
    assert outcome.state == "done" and outcome.overrides == {"seed": "0"} and outcome.seconds is not None
    assert state(planned(tmp_path), tmp_path) == "resumed"


def test_a_failure_is_remembered_with_its_sentence_until_the_next_sweep(tmp_path):
    cell = planned(tmp_path)
    with pytest.raises(ValueError), recorded(cell.folder.path):
        try:
            raise UserError("The data is gone.")
        except UserError as error:
            raise ValueError from error
    outcome = outcome_of(cell, ["seed"], tmp_path)
    assert (outcome.state, outcome.sentence) == ("failed", "The data is gone.")
    assert "Traceback" in (cell.folder.path / "log.txt").read_text()
    assert state(planned(tmp_path), tmp_path) == "waiting", "what an earlier sweep left says nothing of this one"


def test_a_process_that_died_is_told_from_one_that_runs(tmp_path):
    cell = planned(tmp_path)
    script = (
        "import os, sys, signal; from pathlib import Path;"
        "from pipeline.files import locked; from pipeline.evaluation.cell_record import recorded\n"
        "folder = Path(sys.argv[1])\n"
        f"with locked(folder / {LOCK!r}, 'it'), recorded(folder): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(cell.folder.path)], cwd=ROOT, check=False)
    outcome = outcome_of(cell, ["seed"], tmp_path)
    assert outcome.state == "failed" and "killed, or out of memory" in outcome.sentence
    assert not is_locked(cell.folder.path / LOCK)


def test_seconds_of_all_attempts_add_up(tmp_path):
    for _ in range(2):
        with recorded(tmp_path):
            pass
    first = read_record(tmp_path)
    place = tmp_path / "cell.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"seconds": 100.0}))
    with recorded(tmp_path):
        pass
    assert first.seconds < 50 and 100 <= read_record(tmp_path).seconds < 150
    assert read_record(tmp_path).pid == os.getpid()


def test_a_record_of_another_version_counts_as_none(tmp_path):
    (tmp_path / "cell.json").write_text('{"state": "gone"}')
    assert read_record(tmp_path) is None
    (tmp_path / "cell.json").write_text("{")
    assert read_record(tmp_path) is None


def test_what_the_launcher_alone_knows(tmp_path):
    assert state(planned(tmp_path), tmp_path, "The queue was closed.") == "failed"
    assert state(planned(tmp_path, reason="Not these two."), tmp_path) == "skipped"


def test_the_estimate_of_a_preview(tmp_path):
    cells = [planned(tmp_path, seed, kind=kind) for seed, kind in enumerate("aab")]
    axes = {"seed": ["0", "1", "2"]}
    (*_, last) = preview("s", cells, axes, {})
    assert "is not known" in last
    (*_, last) = preview("s", cells, axes, {"a": 30.0, "b": 600.0})
    assert "about 11 min one after the other" in last and "guessed" not in last
    (*_, last) = preview("s", cells, axes, {"a": 30.0})
    assert "about 90 s" in last or "about 2 min" in last
    assert "(1 of 3 guessed from the others)" in last


def test_a_folder_is_found_by_its_settings_whatever_it_was_named_by(tmp_path):
    config = OmegaConf.create({"folder": None, "seed": 1, "pooling": "mean"})
    first = RunFolder(config, ["seed=1", "launcher=joblib", "hydra.sweep.dir=x"], tmp_path)
    assert first.path.name.startswith("seed-1--") and "launcher" not in first.path.name
    first.path.mkdir()
    assert RunFolder(config, ["seed=1", "pooling=mean"], tmp_path).path == first.path
    older = first.path.rename(tmp_path / f"seed=1,{first.path.name[-8:]}")  # as folders were called before
    assert RunFolder(config, ["seed=1"], tmp_path).path == older
    other = OmegaConf.create({"folder": None, "seed": 2, "pooling": "mean"})
    assert RunFolder(other, ["seed=1"], tmp_path).path != first.path
