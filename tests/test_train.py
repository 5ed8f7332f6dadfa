"""`train.py` as it is used: composed on the command line, run, killed, continued, and refused what cannot be meant."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import train as train_command

ROOT = Path(__file__).resolve().parent.parent
TOPICS = ["wing", "heat", "flow", "shell", "wave", "jet", "plate", "shock", "gas", "tube", "rotor", "blade"]


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory) -> Path:
    """A BERT of two layers with random weights and a vocabulary of its own."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOPICS, *"abcdefghijklmnopqrstuvwxyz0123456789"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    backend = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=32,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Questions and answers that share a topic and a number."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"query": f"what {topic} {number}", "document": f"{topic} number {number} of {TOPICS[number % 5]}"}
        for topic in TOPICS
        for number in range(20)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def settings_of(tiny_bert: Path, pairs: Path, folder: Path, *more: str) -> list[str]:
    return [
        "backbone=local",
        f"backbone.path={tiny_bert}",
        "dataset=jsonl",
        f"dataset.path={pairs}",
        "stage.batch_size=16",
        "stage.learning_rate=1e-3",
        "stage.validate_every=10",
        "stage.checkpoint_every=5",
        "stage.warmup_steps=2",
        "stage.dropout=0.1",
        "trainer=float32",
        "trainer.accelerator=cpu",
        "trainer.max_steps=30",
        "evaluation.measures=[ndcg@10,recall@20]",
        "logger=none",
        f"folder={folder}",
        f"tables={folder.parent / 'tables'}",
        *more,
    ]


def train(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, **options
    )


def refusal(monkeypatch, capsys, *arguments: str) -> str:
    """Give the command in this process, which has torch already, and return the sentence that it is refused with."""
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        train_command.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1, said
    return said


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def finished(tiny_bert, pairs, tmp_path_factory) -> Path:
    """The run folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = train(*settings_of(tiny_bert, pairs, folder, "logger=csv"))
    assert done.returncode == 0, done.stderr
    assert "hybrid" in done.stdout
    return folder


def test_a_run_folder_holds_all_that_a_run_makes(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["bm25", "zero_shot", "dense", "hybrid"]
    assert metrics["systems"]["dense"]["ndcg@10"] > metrics["systems"]["zero_shot"]["ndcg@10"]
    assert metrics["training"]["steps"] == 30
    assert [row["step"] for row in metrics["training"]["curves"]["validation"]] == [0, 10, 20, 30]
    (note,) = [remark for remark in metrics["remarks"] if remark.startswith("No pooling was named")]
    assert note in (finished / "log.txt").read_text()
    names = {str(path.relative_to(finished)) for path in finished.rglob("*")}
    systems = [f"runs/test.{system}.trec" for system in metrics["systems"]]
    plots = [
        "plots/per_query.png",
        "plots/per_query.svg",
        "plots/curves.png",
        "plots/diagnostics.png",
        "plots/diagnostics.svg",
    ]
    others = ["config.yaml", "log.txt", "results.csv", "per_query.csv", "model/model.safetensors", "index/index.faiss"]
    assert {*systems, *plots, *others, "curves/metrics.csv"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".ckpt"))]


def test_sentence_transformers_opens_the_model_and_its_card_says_where_it_comes_from(finished, tiny_bert):
    encoder = SentenceTransformer(str(finished / "model"), device="cpu")
    similarity = encoder.encode_query(["what wing 3"]) @ encoder.encode_document(["wing number 3"]).T
    assert np.isfinite(similarity).all()
    card = (finished / "model" / "README.md").read_text()
    assert "30 steps of 16 queries" in card
    assert "learning rate 0.001, weights of step" in card
    assert "| dense |" in card
    trained_on = json.loads((finished / "metrics.json").read_text())["dataset"]
    for line in (
        f"# local {tiny_bert.name}, dpr on {trained_on}",
        f"| base | local, path {tiny_bert}, init pretrained |",
        "| query tower | the document tower itself |",
        "| pooling | mean |",
        "| dimension | 32 |",
        "| length | 32 tokens |",
        "| title and text | joined by ` ` |",
    ):
        assert line in card.splitlines()
    assert f"| dataset | {trained_on} (jsonl), fingerprint `" in card


def test_the_index_and_its_ids_can_be_opened(finished):
    import faiss

    index = faiss.read_index(str(finished / "index" / "index.faiss"))
    ids = (finished / "index" / "ids.txt").read_text().splitlines()
    assert index.ntotal == len(ids) == json.loads((finished / "metrics.json").read_text())["documents"]


def test_a_finished_run_is_recognised(finished, tiny_bert, pairs):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")}
    again = train(*settings_of(tiny_bert, pairs, finished, "logger=csv"))
    assert again.returncode == 0
    assert "is finished" in again.stderr
    assert "hybrid" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")}


def test_a_folder_of_another_run_is_refused(finished, tiny_bert, pairs):
    refused = train(*settings_of(tiny_bert, pairs, finished, "stage.temperature=0.1"))
    assert refused.returncode == 2
    assert "stage.temperature is 0.05 there and 0.1 here" in refused.stderr


def kill_when(happened: Callable[[], bool], arguments: list[str], seconds: float = 0) -> None:
    """Start a training and kill it some time after something has happened."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not happened():
        time.sleep(0.02)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_after_a_checkpoint(arguments: list[str], checkpoints: Path, seconds: float) -> None:
    """Start a training and kill it some time after it has written another checkpoint."""
    there = set(checkpoints.glob("step-*"))
    kill_when(lambda: bool(set(checkpoints.glob("step-*")) - there), arguments, seconds)


def test_killed_at_random_moments_it_ends_with_the_same_bits(finished, tiny_bert, pairs, tmp_path):
    arguments = settings_of(tiny_bert, pairs, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoint"
    generator = random.Random(os.getpid())
    for _ in range(3):
        kill_after_a_checkpoint(arguments, checkpoints, generator.uniform(0, 0.3))
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    for name in ("model/model.safetensors", "metrics.json", "runs/test.dense.trec", "results.csv"):
        assert sha256(tmp_path / "run" / name) == sha256(finished / name), name


def test_two_ranks_train_what_one_process_trains(tiny_bert, pairs, tmp_path):
    # Two ranks draw other masks of dropout than one process does.
    steady = ["stage.dropout=0", "trainer.max_steps=6", "negatives=bm25"]
    alone = train(*settings_of(tiny_bert, pairs, tmp_path / "alone", *steady))
    together = train(
        *settings_of(tiny_bert, pairs, tmp_path / "together", *steady),
        "trainer.devices=2",
        "trainer.strategy=ddp",
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert alone.returncode == 0, alone.stderr
    assert together.returncode == 0, together.stderr
    losses = [
        json.loads((tmp_path / name / "metrics.json").read_text())["training"]["loss"] for name in ("alone", "together")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    weights = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("alone", "together")]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5


def test_a_loss_that_is_no_number_stops_the_run(tiny_bert, pairs, tmp_path):
    broken = train(
        *settings_of(tiny_bert, pairs, tmp_path / "run", "stage.learning_rate=1e30", "trainer.gradient_clip_val=null")
    )
    assert broken.returncode == 2
    assert "The loss became nan at step" in broken.stderr or "The loss became inf at step" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_training_may_stop_before_its_first_logged_loss(tiny_bert, pairs, tmp_path):
    arguments = settings_of(tiny_bert, pairs, tmp_path / "run", "stage.learning_rate=1e-30", "stage.validate_every=2")
    done = train(*arguments, "stage.patience=1")
    assert done.returncode == 0, done.stderr
    training = json.loads((tmp_path / "run" / "metrics.json").read_text())["training"]
    assert (training["steps"], training["best_step"], training["stopped_early"]) == (4, 2, True)


def test_a_run_folder_is_not_gone_on_with_over_other_data(tiny_bert, pairs, tmp_path):
    own = tmp_path / "pairs.jsonl"
    shutil.copy(pairs, own)
    arguments = settings_of(tiny_bert, own, tmp_path / "run", "trainer.max_steps=1")
    assert train(*arguments).returncode == 0
    own.write_text(own.read_text().replace("what wing", "which wing"))
    refused = train(*arguments)
    assert refused.returncode == 2
    assert "holds a run made from another dataset" in refused.stderr


def test_a_run_folder_is_not_gone_on_with_over_other_weights(tiny_bert, pairs, tmp_path):
    own = tmp_path / "bert"
    shutil.copytree(tiny_bert, own)
    arguments = settings_of(own, pairs, tmp_path / "run", "trainer.max_steps=1")
    assert train(*arguments).returncode == 0
    weights = load_file(own / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][7] += 1
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    refused = train(*arguments)
    assert refused.returncode == 2
    assert "holds a run made from another document tower" in refused.stderr


def test_ctrl_c_leaves_a_folder_that_goes_on(tiny_bert, pairs, finished, tmp_path):
    arguments = settings_of(tiny_bert, pairs, tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list((tmp_path / "run" / "checkpoint").glob("step-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert train(*arguments).returncode == 0
    assert sha256(tmp_path / "run" / "model" / "model.safetensors") == sha256(finished / "model" / "model.safetensors")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("backbone=minlm", "backbone=minlm is not a configuration; did you mean minilm"),
        ("datset=squad", "datset is not a setting; did you mean dataset"),
        ("stage.learning_rat=1", "stage.learning_rat is not a setting; did you mean stage.learning_rate"),
        ("stage.batch_size=0", "stage.batch_size=0 must be a whole number of at least 1"),
        ("stage.batch_size=-4", "stage.batch_size=-4 must be a whole number of at least 1"),
        ("stage.temperature=0", "stage.temperature=0 must be a number above 0"),
        ("trainer.max_steps=0", "trainer.max_steps=0 must be a whole number of at least 1"),
        ("trainer.max_steps=ten", "trainer.max_steps=ten must be a whole number of at least 1"),
        ("stage.monitor=ndgc@10", "stage.monitor=ndgc@10 is unknown; did you mean ndcg@10"),
        ("stage.dropout=1", "stage.dropout=1 must be below 1"),
        ("stage.decay=exponential", "stage.decay=exponential is unknown"),
        ("encoding.precision=float8", "encoding.precision=float8 is unknown; did you mean float"),
        ("+stage.colour=red", "unexpected keyword argument 'colour'"),
        ("+trainer.colour=red", "trainer.colour is no argument of Lightning's Trainer"),
        ("+encoding.colour=red", "unexpected keyword argument 'colour'"),
        ("+encoder.colour=red", "unexpected keyword argument 'colour'"),
        ("index=torch index.device=foo", "index.device=foo is no device; write auto, cpu, cuda or cuda:0"),
        ("stage=zero_shot stage.batch_size=4", "stage.batch_size is not a setting; did you mean stage.name"),
        ("+logger.colour=red", "unexpected keyword argument 'colour'"),
        ("seed=-1", "seed=-1 must be a whole number of at least 0"),
        ("trainer.accelerator=gpus", "trainer.accelerator=gpus is unknown; did you mean gpu"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(argument, sentence, tmp_path, monkeypatch, capsys):
    places = [f"folder={tmp_path / 'run'}", f"tables={tmp_path / 'tables'}", "logger=none"]
    assert sentence in refusal(monkeypatch, capsys, *argument.split(), *places)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("encoder.append_eos=maybe", "encoder.append_eos=maybe must be true, false or null"),
        ("index.factory=Foo", "index.factory=Foo is no faiss index"),
        ("index=faiss_ivf", "index.factory=IVF1024,Flat needs at least 1,024 documents"),
        ("index=faiss_pq|index.factory=PQ4np", "index.factory=PQ4np needs at least 256 documents"),
        ("backbone.freeze=[embeddings,layer 0,layer 1]", "Nothing is left to train"),
        ("stage.query_learning_rate=1e-3", "is of a query tower with weights of its own"),
        ("evaluation.k=5", "ndcg@10 looks deeper than the 5 results"),
        ("evaluation.hybrid_weights=[0.2,1.5]", "must be between 0 and 1"),
        ("evaluation.hybrid_normalisation=zscore", "evaluation.hybrid_normalisation=zscore is unknown"),
        ("evaluation.hybrid_depth=20", "hybrid_depth=20 goes with hybrid_normalisation=raw alone"),
    ],
)
def test_what_does_not_fit_the_data_or_the_backbone_is_refused_before_work(
    argument, sentence, tiny_bert, pairs, tmp_path, monkeypatch, capsys
):
    arguments = settings_of(tiny_bert, pairs, tmp_path / "run", *argument.split("|"))
    said = refusal(monkeypatch, capsys, *arguments)
    assert sentence in said
    assert not (tmp_path / "tables" / "vectors").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("argument", ["trainer.accelerator=gpu", "encoding.device=cuda"])
def test_a_gpu_where_there_is_none_is_refused(argument, tmp_path, monkeypatch, capsys):
    places = [f"folder={tmp_path / 'run'}", f"tables={tmp_path / 'tables'}", "logger=none"]
    assert "GPU" in refusal(monkeypatch, capsys, argument, *places)
    assert not (tmp_path / "tables").exists()


def test_a_batch_smaller_than_the_ranks_is_refused(tiny_bert, pairs, tmp_path, monkeypatch, capsys):
    arguments = settings_of(
        tiny_bert, pairs, tmp_path / "run", "trainer.devices=2", "trainer.strategy=ddp", "stage.batch_size=1"
    )
    said = refusal(monkeypatch, capsys, *arguments)
    assert "stage.batch_size=1 cannot be divided among 2 processes" in said


def test_composition_does_not_wait_for_torch():
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "train.py", "--cfg", "job"], cwd=ROOT, capture_output=True, text=True
    )
    assert imported.returncode == 0
    assert not [line for line in imported.stderr.splitlines() if line.rsplit("|", 1)[-1].strip() in ("torch", "numpy")]
