"""Alignment and DAFT from the command line: frozen means frozen, killed means continued, and what is refused."""

import csv
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline.encoders.dual_encoder import DualEncoder
from tests.test_train import kill_after_a_checkpoint, pairs, refusal, settings_of, sha256, tiny_bert, train  # noqa: F401

SMALL = ["query=static", "stage=daft", "query.init=token_embeddings"]


def daft_of(tiny_bert, pairs, folder, *more: str) -> list[str]:  # noqa: F811
    """Take the settings of a training, with those of the stage for both of its parts."""
    settings = []
    for setting in settings_of(tiny_bert, pairs, folder):
        key, _, value = setting.partition("=")
        if key.startswith("stage."):
            name = key.removeprefix("stage.")
            settings += [f"stage.align.{name}={value}", f"stage.fine_tune.{name}={value}"]
        else:
            settings.append(setting)
    return [*SMALL, *settings, "stage.align.max_steps=20", "stage.align.patience=null", *more]


@pytest.fixture(scope="module")
def finished(tiny_bert, pairs, tmp_path_factory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("daft") / "undisturbed"
    done = train(*daft_of(tiny_bert, pairs, folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_daft_is_two_measured_steps_in_one_folder(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["bm25", "zero_shot", "aligned", "dense", "hybrid"]
    training = metrics["training"]
    assert (training["stage"], training["steps"], training["align"]["steps"]) == ("daft", 30, 20)
    row = training["curves"]["validation"][-1]
    assert {"query/mean_cosine", "document/effective_rank", "query/uniformity", "alignment", "kl"} <= row.keys()
    assert "below_chance" in training["curves"]["loss"][-1]
    assert training["collapsed"] in (True, False)
    for name in ("curves", "diagnostics"):
        assert "fine-tuning begins" in (finished / "plots" / f"{name}.svg").read_text()
    with open(finished / "curves.csv", newline="") as file:
        steps = [(row["part"], int(row["step"])) for row in csv.DictReader(file) if row["ndcg@10"]]
    assert steps[:4] == [("alignment", 0), ("alignment", 10), ("alignment", 20), ("fine-tuning", 20)]
    assert steps[-1] == ("fine-tuning", 50)


def test_killed_in_either_part_it_ends_with_the_same_bits(finished, tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = daft_of(tiny_bert, pairs, tmp_path / "run")
    for part in ("align", "fine_tune"):
        kill_after_a_checkpoint(arguments, tmp_path / "run" / "checkpoint" / part, 0)
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    for name in ("model/query/model.safetensors", "model/document/model.safetensors", "metrics.json"):
        assert sha256(tmp_path / "run" / name) == sha256(finished / name), name


def test_a_frozen_tower_keeps_its_weights_and_its_vectors(tiny_bert, pairs, tmp_path):  # noqa: F811
    folder = tmp_path / "run"
    more = [
        "query=static",
        "stage=align",
        "query.init=token_embeddings",
        "stage.patience=null",
        "stage.monitor=ndcg@10",
    ]
    done = train(*settings_of(tiny_bert, pairs, folder, *more))
    assert done.returncode == 0, done.stderr
    before = load_file(tiny_bert / "model.safetensors")
    after = load_file(folder / "model" / "document" / "model.safetensors")
    assert all((before[name] == weight).all() for name, weight in after.items())
    inputs = json.loads((folder / "inputs.json").read_text())
    opened = DualEncoder.load(folder / "model")
    assert opened.document.fingerprint("document") == inputs["document tower"]
    assert opened.query.fingerprint("query") != inputs["query tower"]
    losses = json.loads((folder / "metrics.json").read_text())["training"]["curves"]["loss"]
    assert losses[-1]["loss"] < losses[0]["loss"]


@pytest.mark.parametrize("stage", ["align", "joint", "daft"])
def test_a_shared_tower_is_refused(stage, tiny_bert, pairs, tmp_path, monkeypatch, capsys):  # noqa: F811
    places = [f"folder={tmp_path / 'run'}", f"tables={tmp_path / 'tables'}", "logger=none"]
    data = ["backbone=local", f"backbone.path={tiny_bert}", "dataset=jsonl", f"dataset.path={pairs}"]
    said = refusal(monkeypatch, capsys, *data, f"stage={stage}", "trainer.accelerator=cpu", *places)
    assert "needs a query tower of its own" in said
