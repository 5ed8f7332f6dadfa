"""Alignment and DAFT from the command line: frozen means frozen, killed means continued, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.static_tower import StaticTower
from tests.test_train import kill_after_a_checkpoint, kill_when, pairs, refusal, settings_of, sha256, tiny_bert, train  # noqa: F401

SMALL = ["query=static", "stage=daft", "query.init=token_embeddings", "stage.query_learning_rate=1e-3"]


def daft_of(tiny_bert, pairs, folder) -> list[str]:  # noqa: F811
    """Add DAFT to the settings of a training."""
    return [
        *settings_of(tiny_bert, pairs, folder, *SMALL),
        "stage.align.max_steps=20",
        "stage.align.patience=null",
        "stage.patience=null",
    ]


@pytest.fixture(scope="module")
def finished(tiny_bert, pairs, tmp_path_factory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("daft") / "undisturbed"
    done = train(*daft_of(tiny_bert, pairs, folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_card_tells_both_parts(finished):
    card = (finished / "model" / "README.md").read_text().splitlines()
    said = {line.split(" | ")[0].removeprefix("| "): line for line in card if line.startswith("| ")}
    assert said["alignment"].startswith("| alignment | 20 steps of 16 queries out of ")
    # 3e-4 is stage.align.learning_rate, which no weight was trained at: the query tower has its own.
    assert "learning rate 0.001, weights of step" in said["alignment"]
    assert "best kl on validation" in said["alignment"]
    assert said["training"].startswith("| training | 30 steps of 16 queries out of ")
    assert "best map@100 on validation" in said["training"]
    assert said["query tower"] == "| query tower | static, init token_embeddings, weights idf |"
    assert said["pooling"].startswith("| pooling | query tower ")


def test_daft_is_two_measured_steps_in_one_folder(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["bm25", "zero_shot", "aligned", "dense", "hybrid"]
    training = metrics["training"]
    assert (training["stage"], training["steps"], training["align"]["steps"]) == ("daft", 30, 20)
    row = training["curves"]["validation"][-1]
    assert {
        "query/mean_cosine",
        "document/effective_rank",
        "query/uniformity",
        "alignment",
        "kl",
        "kl_repeated_documents",
    } <= row.keys()
    assert "below_chance" in training["curves"]["loss"][-1]
    assert training["collapsed"] in (True, False)
    assert not (finished / "checkpoint").exists()  # nothing is left to resume
    for name in ("curves", "diagnostics"):
        assert "fine-tuning begins" in (finished / "plots" / f"{name}.svg").read_text()
    with open(finished / "curves.csv", newline="") as file:
        steps = [(row["part"], int(row["step"])) for row in csv.DictReader(file) if row["ndcg@10"]]
    assert steps[:4] == [("alignment", 0), ("alignment", 10), ("alignment", 20), ("fine-tuning", 20)]
    assert steps[-1] == ("fine-tuning", 50)


def test_killed_in_either_part_and_between_them_it_ends_with_the_same_bits(finished, tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = daft_of(tiny_bert, pairs, tmp_path / "run")
    checkpoints, log = tmp_path / "run" / "checkpoint", tmp_path / "run" / "log.txt"
    kill_after_a_checkpoint(arguments, checkpoints / "align", 0)
    kill_when(lambda: "Aligned in" in log.read_text(), arguments)
    assert not list((checkpoints / "fine_tune").glob("step-*"))
    kill_after_a_checkpoint(arguments, checkpoints / "fine_tune", 0)
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
        "stage.query_learning_rate=1e-3",
    ]
    done = train(*settings_of(tiny_bert, pairs, folder, *more))
    assert done.returncode == 0, done.stderr
    before = load_file(tiny_bert / "model.safetensors")
    after = load_file(folder / "model" / "document" / "model.safetensors")
    assert all((before[name] == weight).all() for name, weight in after.items() if not name.startswith("pooler."))
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


def rival(tiny_bert, pairs, folder, *more: str) -> dict:  # noqa: F811
    done = train(*settings_of(tiny_bert, pairs, folder, *more))
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "metrics.json").read_text())["training"]


@pytest.mark.parametrize("stage", ["mse", "leaf", "kale", "align"])
def test_texts_without_labels_bring_the_towers_closer(stage, tiny_bert, pairs, tmp_path):  # noqa: F811
    more = ["query=first_k", "query.layers=first 1", f"stage={stage}", "stage.patience=null", "stage.batch_size=16"]
    if stage == "align":
        more += ["stage.texts=[pairs,queries,sentences]", "stage.monitor=ndcg@10"]
        more += ["negatives=bm25", "negatives.count=1"]
    training = rival(tiny_bert, pairs, tmp_path / "run", *more)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "There is no table of this document tower's vectors of" in log  # not of the training queries
    losses = training["curves"]["loss"]
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert losses[-1]["below_chance"] > losses[0]["below_chance"]


def test_light_retriever_is_trained_through_the_document_tower_and_served_as_a_look_up(tiny_bert, pairs, tmp_path):  # noqa: F811
    training = rival(tiny_bert, pairs, tmp_path / "run", "query=light_retriever", "stage=dpr")
    assert training["curves"]["loss"][-1]["below_chance"] > training["curves"]["loss"][0]["below_chance"]
    pair = DualEncoder.load(tmp_path / "run" / "model")
    assert isinstance(pair.query, StaticTower)
    router = SentenceTransformer(str(tmp_path / "run" / "model"), device="cpu")
    texts = ["grey parrots", "a bird that talks", ""]
    assert np.allclose(router.encode_query(texts), encode(pair.query, texts, "query"), atol=1e-5)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["stage.texts=[words]"], "stage.texts=words is unknown"),
        (["stage.texts=queries"], "stage.texts=queries must be a list; write stage.texts=[queries]."),
        (["stage.texts=null"], "stage.texts=None must be a list"),
        (["stage.texts=[]"], "must name one or more of pairs"),
        (["stage.texts=[pairs,pairs]"], "each once"),
        (["stage.objective=cosine"], "stage.objective=cosine is unknown"),
        (["query=static", "stage.objective=squared_error", "negatives=bm25"], "has no use for negatives"),
        (["query=static", "stage.texts=[queries]", "negatives=bm25"], "has no use for negatives"),
        (["query=light_retriever"], "needs a query tower of its own"),
        ([], "begins as a copy of the document tower"),
        (["stage=daft"], "stage.align.monitor=ndcg@10"),
        (["query=first_k", "query.layers=all"], "begins as a copy of the document tower"),
        (["stage.sentences=0"], "stage.sentences=0"),
        (
            ["query=static", "dataset.limit=2", "stage.batch_size=2"],
            "stage.monitor=kl needs at least 16 different documents",
        ),
    ],
)
def test_what_cannot_be_aligned_is_refused(more, sentence, tiny_bert, pairs, tmp_path, monkeypatch, capsys):  # noqa: F811
    defaults = {"query": "query=twin", "stage": "stage=align"}
    chosen = [word for group, word in defaults.items() if not any(each.startswith(f"{group}=") for each in more)]
    settings = settings_of(tiny_bert, pairs, tmp_path / "run", *chosen, *more)
    assert sentence in refusal(monkeypatch, capsys, *settings)
    assert not (tmp_path / "run" / "model").exists()


def test_a_static_tower_is_aligned_by_two_processes(tiny_bert, pairs, tmp_path):  # noqa: F811
    more = ["query=static", "query.init=token_embeddings", "stage=mse", "stage.batch_size=16", "stage.patience=null"]
    more += ["trainer=ddp_cpu", "trainer.precision=32-true", "trainer.max_steps=10"]
    settings = [item for item in settings_of(tiny_bert, pairs, tmp_path / "run", *more) if item != "trainer=float32"]
    done = train(*settings)
    assert done.returncode == 0, done.stderr
    losses = json.loads((tmp_path / "run" / "metrics.json").read_text())["training"]["curves"]["loss"]
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert losses[-1]["query_learning_rate"] > losses[-1]["learning_rate"]
