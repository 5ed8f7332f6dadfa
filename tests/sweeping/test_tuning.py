"""Tuning: what may be searched, what a study proposes, and the command from its first trial to its table."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import train as train_command
from pipeline.errors import UserError
from pipeline.sweeping.search_space import distributions, override
from tests.test_train import ROOT, pairs, settings_of, tiny_bert, train  # noqa: F401

optuna = pytest.importorskip("optuna")

from pipeline.sweeping.study import Study  # noqa: E402  optuna is optional

SPACE = {"rate": {"low": 1e-6, "high": 1e-2, "log": True}, "size": [16, 32, 64]}


def test_a_search_is_read_as_ranges_and_choices():
    read = distributions({**SPACE, "layers": {"low": 1, "high": 6}, "share": {"low": 0, "high": 0.5}})
    assert read["rate"] == optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True)
    assert read["size"] == optuna.distributions.CategoricalDistribution([16, 32, 64])
    assert read["layers"] == optuna.distributions.IntDistribution(1, 6)
    assert read["share"] == optuna.distributions.FloatDistribution(0.0, 0.5)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"low": 1}, "must be a list of choices, or a range"),
        ({"low": 1, "high": 2, "step": 1}, "must be a list of choices, or a range"),
        ({"low": 2, "high": 1}, "rate.high=1 must be a number above 2"),
        ({"low": 0, "high": 1, "log": True}, "rate.low=0 must be a number above 0"),
        ([], "must be a list of one choice or more"),
        (3, "must be a list; write"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(value, sentence):
    with pytest.raises(UserError, match=sentence):
        distributions({"rate": value})


@pytest.mark.parametrize(
    ("value", "word"), [(0.000123456, "rate=0.000123"), (32, "rate=32"), ("cls", "rate=cls"), (True, "rate=true")]
)
def test_a_proposal_is_written_as_an_override(value, word):
    assert override("rate", value) == word


def study_of(folder, settings="same", space=SPACE, seed=0) -> Study:
    return Study(folder, distributions(space), minimise=False, settings=settings, seed=seed)


def told(study: Study, count: int) -> list[dict]:
    """Try so many proposals on a measure with its best at a rate of 1e-4 and a size of 32."""
    for _ in range(count):
        trial = study.propose()
        distance = abs(round(trial.params["rate"], 12) / 1e-4 - 1)
        study.tell(trial, 1 / (1 + distance) + (trial.params["size"] == 32))
    return [trial.params for trial in study.trials]


def test_a_study_opened_again_proposes_what_an_undisturbed_one_does(tmp_path):
    undisturbed = told(study_of(tmp_path / "one"), 14)
    told(study_of(tmp_path / "two"), 5)
    told(study_of(tmp_path / "two"), 1)
    assert told(study_of(tmp_path / "two"), 8) == undisturbed
    assert told(study_of(tmp_path / "three", seed=1), 14) != undisturbed


def test_a_study_learns(tmp_path):
    study = study_of(tmp_path)
    told(study, 40)
    sizes = [trial.params["size"] for trial in study.trials]
    assert sizes[20:].count(32) > 10
    assert study.best.params["size"] == 32
    assert [trial.value for trial in study.ranked] == sorted((t.value for t in study.trials), reverse=True)


def test_a_trial_that_nothing_was_told_of_is_unfinished(tmp_path):
    study = study_of(tmp_path)
    told(study, 1)
    left = study.propose()
    assert [trial.number for trial in study_of(tmp_path).unfinished] == [left.number]
    study_of(tmp_path).tell(left, None)
    again = study_of(tmp_path)
    assert again.unfinished == []
    assert again.best.number == 0


def test_half_a_line_and_a_lock_that_a_killed_process_left_are_no_obstacle(tmp_path):
    told(study_of(tmp_path), 2)
    with open(tmp_path / "study.journal", "ab") as journal:
        journal.write(b'{"op_code":4,"worker')
    (tmp_path / "study.journal.lock").symlink_to(tmp_path / "study.journal")
    began = time.monotonic()
    told(study_of(tmp_path), 1)
    assert len(study_of(tmp_path).trials) == 3
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"settings": "others"}, "is a study of other settings"),
        ({"space": {**SPACE, "size": [16]}}, "is a study of another search space"),
    ],
)
def test_a_study_is_not_gone_on_with_over_something_else(other, sentence, tmp_path):
    told(study_of(tmp_path), 1)
    with pytest.raises(UserError, match=sentence):
        study_of(tmp_path, **other)


def arguments_of(tiny_bert, pairs, folder, *more: str) -> list[str]:  # noqa: F811
    settings = settings_of(tiny_bert, pairs, folder / "cell", "trainer.max_steps=6", "stage.validate_every=6")
    settings = [
        word for word in settings if not word.startswith(("folder=", "stage.batch_size", "stage.learning_rate"))
    ]
    return ["-m", "-cd", "multirun_sweeps", "-cn", "tune", *settings, "threads=1", f"hydra.sweep.dir={folder}", *more]


def rows_of(folder) -> list[dict[str, str]]:
    with open(folder / "trials.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_tuning_goes_by_the_validation_split_and_on_where_it_was(tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = arguments_of(tiny_bert, pairs, tmp_path)
    first = train(*arguments, "hydra.sweeper.trials=2", "hydra.sweeper.at_once=2")
    assert first.returncode == 0, first.stderr
    rows = rows_of(tmp_path)
    assert [row["state"] for row in rows] == ["complete", "complete"]
    for row in rows:
        metrics = json.loads((tmp_path / row["folder"] / "metrics.json").read_text())
        assert float(row["ndcg@10"]) == metrics["training"]["validation"]["ndcg@10"]
        assert float(row["ndcg@10"]) != metrics["systems"]["dense"]["ndcg@10"]
        config = (tmp_path / row["folder"] / "config.yaml").read_text()
        assert f"batch_size: {row['stage.batch_size']}\n" in config
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.json")}
    more = train(*arguments, "hydra.sweeper.trials=3")
    assert more.returncode == 0, more.stderr
    assert rows_of(tmp_path)[:2] == rows
    assert len(rows_of(tmp_path)) == 3
    assert before.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.json")}.items()
    best = max(rows_of(tmp_path), key=lambda row: (float(row["ndcg@10"]), -int(row["trial"])))
    assert f"stage.learning_rate={best['stage.learning_rate']}" in more.stdout.splitlines()[-1]
    sweep = json.loads((tmp_path / "sweep.json").read_text())
    assert [cell["state"] for cell in sweep["cells"]] == ["resumed", "resumed", "done"]
    refused = train(*arguments, "hydra.sweeper.trials=3", "trainer.max_steps=7")
    assert refused.returncode == 2
    assert "is a study of other settings" in refused.stderr


def test_a_trial_that_was_killed_is_taken_up_again(tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = arguments_of(
        tiny_bert, pairs, tmp_path, "hydra.sweeper.trials=1", "trainer.max_steps=300", "stage.validate_every=300"
    )
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not list(tmp_path.glob("*/checkpoint/step-*")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (cell,) = tmp_path.glob("*/checkpoint")
    again = train(*arguments)
    assert again.returncode == 0, again.stderr
    (row,) = rows_of(tmp_path)
    assert (tmp_path / row["folder"]) == cell.parent


def test_trials_that_fail_are_told_and_said_and_three_of_them_end_a_hopeless_tuning(tiny_bert, pairs, tmp_path):  # noqa: F811
    search = "hydra.sweeper.search={stage.learning_rate: {low: 1e29, high: 1e30, log: true}}"
    ended = train(*arguments_of(tiny_bert, pairs, tmp_path, search, "trainer.gradient_clip_val=null"))
    assert ended.returncode == 2
    assert "Trial 0: stage.learning_rate=" in ended.stderr
    assert "failed: The loss became" in ended.stderr
    assert "The first 3 trials all failed, the last because: The loss became" in ended.stderr.splitlines()[-1]
    assert [row["state"] for row in rows_of(tmp_path)] == ["fail"] * 3


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("seed=0,1", "seed=0,1 is an axis, and a tuning proposes values itself"),
        ("stage=zero_shot", "stage=zero_shot trains nothing"),
        ("hydra.sweeper.trials=0", "hydra.sweeper.trials=0 must be a whole number of at least 1"),
        ("++hydra.sweeper.search={stage.learning_rat: [1]}", "stage.learning_rat is not a setting; did you mean"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_sentence(
    argument,
    sentence,
    tiny_bert,  # noqa: F811
    pairs,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    arguments = arguments_of(tiny_bert, pairs, tmp_path)
    if argument == "stage=zero_shot":
        arguments = ["-m", "-cd", "multirun_sweeps", "-cn", "tune", "~stage.validate_every", "~stage.patience"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, argument])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        train_command.main()
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]
