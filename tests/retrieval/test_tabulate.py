"""Tables of a real encoder's vectors: the same bytes whatever happens on the way."""

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.texts import Texts
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.loading import open_tower
from pipeline.errors import UserError
from pipeline.retrieval.blocks import LINE_BYTES, Block, read_description
from pipeline.retrieval.tabulate import estimated_tokens, tabulate

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = EncodingSettings(token_budget=512, window=16, device="cpu")
WORDS = ["boundary", "layer", "flow", "heat", "of", "a", "wing", "in", "supersonic", "stream", "over", "thin", "plates"]
TEXTS = 480

TABULATE = """
import sys
from pathlib import Path
import torch
from pipeline.encoders.loading import open_tower
from tests.retrieval.test_tabulate import count_encoded, tabulate_many

torch.set_num_threads(1)
encoded = count_encoded()
tower = open_tower(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
tabulate_many(tower, Path(sys.argv[2]))
print(sum(encoded))
"""


def count_encoded():
    """Note how many texts are encoded from now on; encoding itself stays as it is."""
    encoded = []
    plain = Encoder.encode

    def noting(self, texts, *arguments):
        encoded.append(len(texts))
        return plain(self, texts, *arguments)

    Encoder.encode = noting
    return encoded


def tabulate_many(tower, store):
    return tabulate(tower, many_texts(), "document", SETTINGS, store, "documents")


def many_texts(count=TEXTS):
    """Texts of 1 to 60 words."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 60, count)
    return Texts.from_pairs((str(i), " ".join(generator.choice(WORDS, length))) for i, length in enumerate(lengths))


@pytest.fixture(scope="module")
def tower(minilm_folder):
    return open_tower(minilm_folder)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the other processes have it: two threads may round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def encoded(monkeypatch):
    """How many texts were encoded, call by call."""
    monkeypatch.setattr(Encoder, "encode", Encoder.encode)  # put back at the end
    return count_encoded()


@pytest.fixture(scope="module")
def start(minilm_folder):
    """Start a process that tabulates; it waits for a line before it begins."""
    started = []

    def begin(store):
        process = subprocess.Popen(
            [sys.executable, "-c", TABULATE, str(minilm_folder), str(store)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    process.stdin.write("\n")
    process.stdin.flush()


def only_table(store):
    (folder,) = (path for path in (store / "vectors").iterdir() if path.is_dir())
    return folder


def contents(store):
    folder = only_table(store)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished_blocks(store):
    lines = [path.stat().st_size for path in store.glob("vectors/*/blocks.txt")]
    return lines[0] // LINE_BYTES if lines else 0


def test_killed_and_continued_it_is_the_undisturbed_table(start, tower, encoded, tmp_path):
    killed = start(tmp_path / "killed")
    go(killed)
    while finished_blocks(tmp_path / "killed") < 5:
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = finished_blocks(tmp_path / "killed")
    assert 5 <= finished < read_description(only_table(tmp_path / "killed")).blocks
    shutil.copytree(tmp_path / "killed", tmp_path / "marked")
    mark_first_block(only_table(tmp_path / "marked"))
    for name, expected in (
        ("undisturbed", TEXTS),
        ("killed", TEXTS - 16 * finished),
        ("marked", TEXTS - 16 * finished),
    ):
        encoded.clear()
        tabulate_many(tower, tmp_path / name)
        assert sum(encoded) == expected
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    # A finished block is taken as it is: other vectors with their right checksum stay.
    assert contents(tmp_path / "marked")["vectors.f32"][: 16 * 384 * 4] == np.ones(16 * 384, np.float32).tobytes()


def mark_first_block(folder):
    ones = np.ones((16, 384), np.float32)
    with open(folder / "vectors.f32", "r+b") as file:
        file.write(ones.tobytes())
    with open(folder / "blocks.txt", "r+b") as file:
        file.write(Block.of(ones, 0).line)


def test_two_processes_share_one_table(start, tower, encoded, tmp_path):
    other = start(tmp_path)
    go(other)
    tabulate_many(tower, tmp_path)
    counts = {sum(encoded), int(other.communicate(timeout=120)[0].splitlines()[-1])}
    assert counts == {0, TEXTS}
    assert len(list((tmp_path / "vectors").glob("*/table.json"))) == 1


def test_rows_are_the_encoders_vectors_in_the_order_of_the_texts(tower, tmp_path):
    texts = many_texts(20)
    table = tabulate(tower, texts, "document", SETTINGS, tmp_path, "documents")
    alone = [tower(tower.pad(tower.token_ids([text], "document"))) for text in texts.take(slice(None))]
    np.testing.assert_allclose(table.vectors, torch.cat(alone).detach().numpy(), atol=2e-6)
    assert table.texts_fingerprint == texts.fingerprint
    assert table.folder == tmp_path / "vectors" / table.key


def test_another_tower_text_or_precision_is_another_table(tower, tmp_path):
    texts = many_texts(4)
    other = copy.deepcopy(tower)
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1e-3
    keys = {
        tabulate(*arguments, tmp_path, "texts").key
        for arguments in (
            (tower, texts, "document", SETTINGS),
            (other, texts, "document", SETTINGS),
            (tower, many_texts(5), "document", SETTINGS),
            (tower, texts, "document", EncodingSettings("bfloat16", 512, 16, "cpu")),
        )
    }
    assert len(keys) == 4
    again = tabulate(tower, texts, "document", EncodingSettings(token_budget=99, window=3, device="cpu"), tmp_path, "x")
    assert again.key in keys


def test_a_finished_table_is_not_encoded_again(tower, tmp_path):
    texts = many_texts(20)
    tabulate(tower, texts, "document", SETTINGS, tmp_path, "documents")
    written = only_table(tmp_path) / "vectors.f32"
    before = written.stat().st_mtime_ns
    tabulate(tower, texts, "document", SETTINGS, tmp_path, "documents")
    assert written.stat().st_mtime_ns == before


def test_cut_texts_are_counted_also_where_the_table_was_there(tower, tmp_path):
    texts = Texts.from_pairs([("short", "wing"), ("long", "wing " * 1000), ("longer", "heat " * 2000)])
    for _ in range(2):
        assert tabulate(tower, texts, "document", SETTINGS, tmp_path, "documents").truncated == 2


def test_estimated_tokens_are_near_the_true_ones(tower):
    texts = many_texts()
    true = sum(len(ids) for ids in tower.token_ids(texts.take(slice(None)), "document"))
    estimate = estimated_tokens(tower, texts, "document")
    assert estimate.shape == (TEXTS,)
    assert 0.85 < estimate.sum() / true < 1.15


def test_vectors_that_are_not_finite_are_refused_by_id(tower, tmp_path):
    broken = copy.deepcopy(tower)
    words = broken.token_ids(["plates"], "document")[0]
    with torch.no_grad():
        broken.backbone.get_input_embeddings().weight[words[1]] = torch.nan
    texts = Texts.from_pairs([("good", "wing"), ("bad", "thin plates")])
    with pytest.raises(UserError, match=r"vector of bad \(among the documents\) is not finite"):
        tabulate(broken, texts, "document", SETTINGS, tmp_path, "documents")


def test_no_text_is_refused(tower, tmp_path):
    with pytest.raises(UserError, match="no documents to encode"):
        tabulate(tower, Texts.from_pairs([]), "document", SETTINGS, tmp_path, "documents")
