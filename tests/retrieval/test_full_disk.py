"""A disk that fills up, for real: everything written says so in one sentence and leaves nothing half-made behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def on_a_small_disk(tmp_path, size, program):
    """Run a program with a file system of the given size mounted at its first argument, seen by it alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size={size} tmpfs {disk}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mounted], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    (tmp_path / "program.py").write_text(program)
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mounted} && exec {sys.executable} {tmp_path / 'program.py'} {disk}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


TABLE = """
import sys
from pathlib import Path
import numpy as np
from pipeline.errors import UserError
from pipeline.retrieval.blocks import Description
from pipeline.retrieval.table_writer import TableWriter

description = Description(rows=1000, dimension=1024, block_rows=50, made_from={})
writer = TableWriter(Path(sys.argv[1]) / "table", description)
try:
    for block in range(description.blocks):
        writer.append(np.full((50, 1024), block, np.float32))
except UserError as error:
    print(error)
again = TableWriter(Path(sys.argv[1]) / "table", description)
print(again.finished, writer.finished)
"""


def test_finished_blocks_of_a_table_stay(tmp_path):
    """Five blocks of 200 kB fit."""
    sentence, finished = on_a_small_disk(tmp_path, "1100k", TABLE)
    assert sentence.startswith("The disk that holds ")
    assert "is full; free some space" in sentence
    assert finished == "5 5"


INDEXES = """
import sys
from pathlib import Path
import numpy as np
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.kept import kept
from pipeline.retrieval.run import Ranking, Run
from pipeline.retrieval.table import Table
from pipeline.retrieval.trec import write_trec

store = Path(sys.argv[1])
texts = Texts.from_pairs((str(i), " ".join(f"w{i * j % 3000}" for j in range(60))) for i in range(3000))
table = Table.from_array(np.random.default_rng(0).standard_normal((3000, 64)))
run = Run("bm25", {"q": Ranking.of([str(i) for i in range(40_000)], np.arange(40_000))})
for write in (
    lambda: Bm25(1.2, 0.75, "lucene", None, None).build(texts, store),
    lambda: FaissIndex("HNSW8").prepare(table, store),
    lambda: write_trec(run, store / "run.trec"),
    lambda: kept(store, "runs", {}, lambda: {"scores": np.zeros(100_000)}),
):
    try:
        write()
    except UserError as error:
        print(error)
    print(sum(path.stat().st_size for path in store.rglob("*") if path.is_file()))
"""


def test_indexes_and_runs_leave_nothing(tmp_path):
    lines = on_a_small_disk(tmp_path, "300k", INDEXES)
    assert [line.endswith("give the same command again to continue.") for line in lines[::2]] == [True] * 4
    assert [int(line) for line in lines[1::2]] == [0] * 4
