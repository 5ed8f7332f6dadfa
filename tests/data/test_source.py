import os
import signal
import subprocess
import sys
import textwrap

import pytest

from pipeline.data import open_dataset
from pipeline.data.beir import Beir
from pipeline.errors import UserError
from tests.data.conftest import Written

ROOT_OF_TESTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


def write(writer):
    writer.document("d", "text", where="x")
    writer.query("test", "q", "query", where="x")
    writer.judge("test", "q", "d", 1, where="x")


def test_a_dataset_is_written_once(store):
    times = []

    def counted(writer):
        times.append(1)
        write(writer)

    first = open_dataset(Written(counted), store)
    assert open_dataset(Written(counted, limit=1, relevant_from=3), store).splits.keys() == first.splits.keys()
    assert len(times) == 1


def test_changed_files_and_settings_are_another_dataset(beir_folder):
    key = Beir(path=str(beir_folder)).key()
    assert Beir(path=str(beir_folder), limit=3, relevant_from=2, remove_self_hits=True).key() == key
    assert Beir(path=str(beir_folder), validation_share=0.5).key() != key
    corpus = beir_folder / "corpus.jsonl"
    os.utime(corpus, ns=(1, 1))
    assert Beir(path=str(beir_folder)).key() != key


def test_a_changed_file_is_read_anew(store, beir_folder):
    before = open_dataset(Beir(path=str(beir_folder)), store)
    with (beir_folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "text": "one more"}\n')
    after = open_dataset(Beir(path=str(beir_folder)), store)
    assert len(after.split("test").documents) == len(before.split("test").documents) + 1


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.data.conftest import Written
from tests.data.test_source import write
from pipeline.data import open_dataset

def half(writer):
    write(writer)
    for number in range(5000):
        writer.document(f"half-{number}", "text", where="x")
    print("half way", flush=True)
    time.sleep(60)

open_dataset(Written(half), Path(sys.argv[2]))
"""


def test_what_a_killed_process_left_is_made_anew(store):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), ROOT_OF_TESTS, str(store)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "half way\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    folder = store / "datasets"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [".written-0123456789abcdef.part"]
    dataset = open_dataset(Written(write), store)
    assert dataset.split("test").documents.ids() == ["d"]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["written-0123456789abcdef"]


@pytest.mark.parametrize("damage", ["cut", "missing", "unfinished"])
def test_a_damaged_folder_is_made_anew(store, damage):
    first = open_dataset(Written(write), store)
    [folder] = [path for path in (store / "datasets").iterdir() if path.is_dir()]
    if damage == "cut":
        texts = folder / "documents" / "documents" / "texts.arrow"
        os.truncate(texts, texts.stat().st_size // 2)
    elif damage == "missing":
        (folder / "judgements.test").unlink()
    else:
        (folder / "dataset.json").unlink()
    again = open_dataset(Written(write), store)
    assert again.fingerprint == first.fingerprint
    assert again.split("test").documents.take([0]) == ["text"]


def test_a_failing_source_leaves_nothing(store):
    def fail(writer):
        write(writer)
        raise UserError("The file is bad.")

    with pytest.raises(UserError, match="The file is bad"):
        open_dataset(Written(fail), store)
    assert not [path for path in (store / "datasets").iterdir() if path.is_dir()]


def test_a_full_disk_is_one_sentence(store):
    def full(writer):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="disk that holds"):
        open_dataset(Written(full), store)
