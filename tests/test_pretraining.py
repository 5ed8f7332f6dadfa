"""Masked language modelling from the command line: a stage, a backbone for other stages, and what goes before a cell."""

import csv
import json
import os
import random
import re
from pathlib import Path

import hydra
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

import train as train_command
from pipeline.encoders.backbones import Local
from pipeline.evaluation.cells import read_cells, rows_of
from tests.test_train import (  # noqa: F401
    ROOT,
    TOPICS,
    kill_after_a_checkpoint,
    pairs,
    refusal,
    settings_of,
    sha256,
    tiny_bert,
    train,
)

MASKED = [
    "stage.batch_size=8",
    "stage.learning_rate=3e-3",
    "stage.warmup_steps=2",
    "stage.dropout=0.1",
    "stage.whole_words=true",
    "stage.held_out_share=0.2",
    "stage.validate_every=10",
    "stage.checkpoint_every=5",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Lines that say the same word three times: who looks around can tell a hidden one."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    lines = [f"{a} {b} {a} {b} {a} {b} {n}" for a in TOPICS for b in TOPICS for n in "ab"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def pretraining_of(tiny_bert, corpus, folder, *more) -> list[str]:  # noqa: F811
    return [
        "backbone=local",
        f"backbone.path={tiny_bert}",
        "stage=mlm",
        "dataset=text",
        f"dataset.path={corpus}",
        *MASKED,
        "trainer=float32",
        "trainer.accelerator=cpu",
        "trainer.max_steps=30",
        "logger=none",
        f"folder={folder}",
        f"tables={folder.parent / 'tables'}",
        *more,
    ]


def command(monkeypatch, *arguments: str) -> None:
    """Give the command in this process, which has torch already."""
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    monkeypatch.chdir(ROOT)
    train_command.main()


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def finished(tiny_bert, corpus, tmp_path_factory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("mlm") / "undisturbed"
    done = train(*pretraining_of(tiny_bert, corpus, folder, "logger=csv"))
    assert done.returncode == 0, done.stderr
    assert "held-out loss" in done.stdout and "Word frequencies less loss" in done.stdout
    assert "tokens, " in done.stderr and "a second" in done.stderr
    assert "has no masked-LM head, so one is made anew" in done.stderr
    return folder


def test_the_run_folder_says_what_was_learned(finished):
    metrics = metrics_of(finished)
    record = metrics["training"]["pretraining"]
    assert metrics["systems"] == {} and metrics["training"]["stage"] == "mlm"
    assert (record["steps"], record["new_head"], record["whole_words"]) == (30, True, True)
    assert record["loss"] < record["loss_before"]
    assert record["trained_texts"] + record["held_out_texts"] == metrics["documents"] == 288
    # Rows are full but the last of an epoch: 240 rows of at most 32 tokens.
    assert 0.9 * 30 * 8 * 32 < record["tokens"] <= 30 * 8 * 32
    gain = record["unigram_entropy"] - record["loss"]
    assert record["gain"]["mean"] == pytest.approx(gain)
    curves = metrics["training"]["curves"]
    assert [row["step"] for row in curves["validation"]] == [0, 10, 20, 30]
    assert curves["validation"][0]["held_out_loss"] == record["loss_before"]
    assert {"base", "texts", "anisotropy", "anisotropy_before", "learned", "accuracy"} <= record.keys()
    assert json.loads((finished / "timings.json").read_text())["pretraining"]["tokens_per_second"] > 0
    names = {str(path.relative_to(finished)) for path in finished.rglob("*")}
    assert {"plots/curves.png", "plots/curves.svg", "curves.csv", "curves/metrics.csv", "model/README.md"} <= names
    assert "checkpoint" not in names
    with open(finished / "curves.csv", newline="") as file:
        assert {"step", "loss", "held_out_loss", "anisotropy"} <= set(next(csv.reader(file)))


def test_its_folder_is_a_backbone(finished, tiny_bert, pairs, tmp_path, monkeypatch):  # noqa: F811
    saved = load_file(finished / "model" / "model.safetensors")
    assert "cls.predictions.bias" in saved
    for path in (finished, finished / "model"):
        loaded = Local(str(path)).load("document", 0)
        weights = loaded.model.state_dict()
        assert all(bool((weights[name] == saved[f"bert.{name}"]).all()) for name in weights if f"bert.{name}" in saved)
    again = ["backbone=local", f"backbone.path={finished}", "stage=zero_shot", "dataset=jsonl", f"dataset.path={pairs}"]
    folder = tmp_path / "scored"
    command(monkeypatch, *again, "logger=none", f"folder={folder}", f"tables={tmp_path / 'tables'}")
    assert "dense" in metrics_of(folder)["systems"]
    vectors = SentenceTransformer(str(finished / "model"), device="cpu").encode(["wing 3"])
    assert vectors.shape == (1, 32)


def test_pre_training_goes_on_with_its_own_head(finished, corpus, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "more"
    arguments = pretraining_of(finished, corpus, folder, "trainer.max_steps=2")
    command(monkeypatch, *arguments)
    record = metrics_of(folder)["training"]["pretraining"]
    before = metrics_of(finished)["training"]["pretraining"]
    assert not record["new_head"]
    assert "made anew" not in capsys.readouterr().err
    assert record["loss_before"] == pytest.approx(before["loss"], abs=1e-5)


def test_a_finished_run_is_recognised_and_tabulated(finished, tiny_bert, corpus, monkeypatch, capsys):  # noqa: F811
    command(monkeypatch, *pretraining_of(tiny_bert, corpus, finished, "logger=csv"))
    said = capsys.readouterr()
    assert "is finished" in said.err and "held-out loss" in said.out
    (row,) = rows_of(read_cells(finished.parent))
    assert row["masked-LM loss"] == metrics_of(finished)["training"]["pretraining"]["loss"]


def test_an_under_trained_base_is_not_called_pre_trained(tiny_bert, corpus, tmp_path, monkeypatch, capsys):  # noqa: F811
    folder = tmp_path / "run"
    arguments = pretraining_of(tiny_bert, corpus, folder, "backbone.init=random", "trainer.max_steps=1")
    command(monkeypatch, *arguments)
    assert metrics_of(folder)["training"]["pretraining"]["learned"] is False
    assert "what came out is not called pre-trained" in capsys.readouterr().out.replace("\n", " ")
    assert "what came out is not called pre-trained" in (folder / "model" / "README.md").read_text()


def test_killed_at_random_moments_it_ends_with_the_same_bits(finished, tiny_bert, corpus, tmp_path):  # noqa: F811
    arguments = pretraining_of(tiny_bert, corpus, tmp_path / "run")
    generator = random.Random(os.getpid())
    for _ in range(2):
        kill_after_a_checkpoint(arguments, tmp_path / "run" / "checkpoint", generator.uniform(0, 0.2))
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    for name in ("model/model.safetensors", "metrics.json", "curves.csv"):
        assert sha256(tmp_path / "run" / name) == sha256(finished / name), name


def test_two_ranks_train_what_one_process_trains(tiny_bert, corpus, tmp_path):  # noqa: F811
    steady = ["stage.dropout=0", "trainer.max_steps=4"]
    alone = train(*pretraining_of(tiny_bert, corpus, tmp_path / "alone", *steady))
    together = train(
        *pretraining_of(tiny_bert, corpus, tmp_path / "together", *steady),
        "trainer.devices=2",
        "trainer.strategy=ddp",
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert alone.returncode == 0, alone.stderr
    assert together.returncode == 0, together.stderr
    weights = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("alone", "together")]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5
    records = [metrics_of(tmp_path / name)["training"]["pretraining"] for name in ("alone", "together")]
    assert records[0]["loss"] == pytest.approx(records[1]["loss"], abs=1e-4)


def test_cells_that_start_from_one_pre_training_make_it_once(tiny_bert, pairs, tmp_path, monkeypatch, capsys):  # noqa: F811
    own = [f"pretraining.{setting}" for setting in MASKED] + ["init=continued", "pretraining.max_steps=6"]
    folders = [tmp_path / "mean", tmp_path / "cls"]
    small = ["trainer.max_steps=4", "stage.validate_every=2"]
    command(monkeypatch, *settings_of(tiny_bert, pairs, folders[0], *small, *own))
    assert "Pre-training goes before: 6 steps" in capsys.readouterr().err
    (made,) = (tmp_path / "tables" / "pretraining").glob("*/metrics.json")
    before = made.stat().st_mtime_ns
    assert not (made.parent / "checkpoint").exists()
    command(monkeypatch, *settings_of(tiny_bert, pairs, folders[1], *small, *own, "pooling=cls"))
    assert "Pre-training goes before" not in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in (tmp_path / "tables" / "pretraining").glob("*/metrics.json")] == [
        before
    ]
    records = [metrics_of(folder)["training"]["pretraining"] for folder in folders]
    assert records[0] == records[1] == metrics_of(made.parent)["training"]["pretraining"]
    # The pre-trained folder has a pooling by now, which nobody named before.
    said = [[note for note in metrics_of(folder)["remarks"] if "No pooling was named" in note] for folder in folders]
    assert [len(notes) for notes in said] == [1, 0] and str(tiny_bert) in said[0][0]
    inputs = json.loads((folders[0] / "inputs.json").read_text())
    assert inputs["document tower"] == inputs["query tower"]
    # Other steps are another pre-training.
    command(monkeypatch, *settings_of(tiny_bert, pairs, tmp_path / "other", *small, *own, "pretraining.max_steps=7"))
    assert len(list((tmp_path / "tables" / "pretraining").glob("*/metrics.json"))) == 2


def test_pre_training_may_read_a_text_of_its_own(tiny_bert, pairs, corpus, tmp_path, monkeypatch):  # noqa: F811
    own = [f"pretraining.{setting}" for setting in MASKED] + ["init=continued", "pretraining.max_steps=2"]
    texts = ["dataset@pretraining.dataset=text", f"pretraining.dataset.path={corpus}"]
    more = [*own, *texts, "trainer.max_steps=1", "backbone.freeze=[embeddings]"]
    command(monkeypatch, *settings_of(tiny_bert, pairs, tmp_path / "run", *more))
    record = metrics_of(tmp_path / "run")["training"]["pretraining"]
    assert re.fullmatch(r"corpus \([0-9a-f]{8}\)", record["texts"])
    (made,) = (tmp_path / "tables" / "pretraining").glob("*/model/model.safetensors")
    name = "embeddings.word_embeddings.weight"
    # What is frozen in fine-tuning is trained before it.
    assert not bool((load_file(made)[f"bert.{name}"] == load_file(tiny_bert / "model.safetensors")[name]).all())
    assert bool((load_file(made)[f"bert.{name}"] == load_file(tmp_path / "run/model/model.safetensors")[name]).all())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["backbone=llama", "backbone.path=x"], "backbone=llama is a decoder without one; choose a BERT-like backbone"),
        (["backbone=dpr", "query=twin"], "trains one checkpoint, and backbone=dpr has two"),
        (["stage.held_out_share=0.001"], "are held out, and a loss on fewer than 5 says nothing"),
        (["stage.held_out_share=1"], "stage.held_out_share=1 must be below 1"),
        (["stage.held_out_share=0"], "stage.held_out_share=0 must be a number above 0"),
        (["init=continued"], "stage=mlm is itself the pre-training that init=continued puts before other stages"),
        (["stage.mask_share=0"], "stage.mask_share=0 must be a number above 0"),
        (["stage.whole_words=perhaps"], "stage.whole_words=perhaps must be true or false"),
        (["stage.split=test"], "has no split 'test'"),
        (["stage.held_out_split=test"], "has no split 'test'"),
        (["dataset.path=null"], "dataset.path is not set"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, sentence, tiny_bert, corpus, tmp_path, monkeypatch, capsys):  # noqa: F811
    given = pretraining_of(tiny_bert, corpus, tmp_path / "run")
    if arguments[0].startswith("backbone="):
        given = given[2:]
    assert sentence in refusal(monkeypatch, capsys, *given, *arguments)
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_texts_without_queries_are_refused_by_other_stages(tiny_bert, corpus, tmp_path, monkeypatch, capsys):  # noqa: F811
    given = [f"backbone.path={tiny_bert}", "dataset=text", f"dataset.path={corpus}", "backbone=local"]
    places = [f"folder={tmp_path / 'run'}", f"tables={tmp_path / 'tables'}", "logger=none"]
    assert "has no split 'test'" in refusal(monkeypatch, capsys, *given, *places)


def test_inits_say_what_the_backbone_starts_from():
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        found = {
            init: hydra.compose("train", overrides=[f"init={init}"])
            for init in ("pretrained", "random", "continued", "frozen_below")
        }
        assert hydra.compose("train", overrides=["backbone.init=random"]).backbone.init == "random"
    assert {init: config.backbone.init for init, config in found.items()} == {
        "pretrained": "pretrained",
        "random": "random",
        "continued": "pretrained",
        "frozen_below": "pretrained",
    }
    assert found["frozen_below"].backbone.freeze == ["embeddings", "layers 0-2"]
    assert [init for init, config in found.items() if config.pretraining is not None] == ["continued"]
    assert found["continued"].pretraining.stage.name == "mlm"
