"""A million documents from file to run file, with the peak memory of every step, each in a process of its own.

The texts are drawn from a vocabulary of 50,000 words by Zipf's law and the vectors are random: synthetic both, since
encoding a million texts takes hours on two cores.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DOCUMENTS, DIMENSION, QUERIES, K = 1_000_000, 384, 1000, 100
WORDS, WORDS_IN_DOCUMENT = 50_000, 40
LIMIT = 4 * 2**30


def write_texts(folder: Path) -> None:
    """Write a BEIR folder with synthetic texts."""
    generator = np.random.default_rng(0)
    chances = 1 / np.arange(1, WORDS + 1)
    cumulated = np.cumsum(chances / chances.sum())
    (folder / "qrels").mkdir(parents=True)
    with open(folder / "corpus.jsonl", "w") as corpus, open(folder / "queries.jsonl", "w") as queries:
        for start in range(0, DOCUMENTS, 10_000):
            drawn = np.searchsorted(cumulated, generator.random((10_000, WORDS_IN_DOCUMENT)))
            for number, words in enumerate(drawn, start):
                text = f"d{number} " + " ".join(f"w{word}" for word in words)
                corpus.write(json.dumps({"_id": f"d{number}", "title": "", "text": text}) + "\n")
                if number % (DOCUMENTS // QUERIES) == 0:
                    text = " ".join(f"w{word}" for word in words[:8])
                    queries.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
    lines = [f"q{number}\td{number}\t1\n" for number in range(0, DOCUMENTS, DOCUMENTS // QUERIES)]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))


def read_dataset(folder: Path) -> None:
    """Read the folder into the store."""
    from pipeline.data.beir import Beir
    from pipeline.data.source import open_dataset

    open_dataset(Beir(path=str(folder / "texts")), folder / "store")


def write_table(folder: Path) -> None:
    """Write the table of synthetic vectors."""
    from benchmarks.search import synthetic_table

    synthetic_table(folder / "table", DOCUMENTS, DIMENSION)


def search_dense(folder: Path, index_name: str) -> None:
    """Search the table and write the run."""
    from hydra.utils import instantiate

    from benchmarks.search import unit_vectors
    from pipeline.data.beir import Beir
    from pipeline.data.source import open_dataset
    from pipeline.retrieval.run import Run
    from pipeline.retrieval.table import Table
    from pipeline.retrieval.trec import write_trec

    split = open_dataset(Beir(path=str(folder / "texts")), folder / "store").split("test")
    index = instantiate({"_target_": index_name})
    index.prepare(Table.open(folder / "table"), folder / "store")
    hits = index.search(unit_vectors(np.random.default_rng(1), QUERIES, DIMENSION), K, split.documents.precedence)
    write_trec(Run.from_hits("dense", split.queries.ids(), split.documents, hits), folder / "dense.trec")


def search_torch(folder: Path) -> None:
    """Search exactly by torch, from disk."""
    search_dense(folder, "pipeline.retrieval.torch_index.TorchIndex")


def search_faiss(folder: Path) -> None:
    """Search exactly by faiss, which holds the vectors in memory."""
    search_dense(folder, "pipeline.retrieval.faiss_index.FaissIndex")


def search_bm25(folder: Path) -> None:
    """Index the texts by BM25, search them and write the run."""
    from pipeline.data.beir import Beir
    from pipeline.data.source import open_dataset
    from pipeline.retrieval.bm25 import Bm25
    from pipeline.retrieval.run import Run
    from pipeline.retrieval.trec import write_trec

    split = open_dataset(Beir(path=str(folder / "texts")), folder / "store").split("test")
    bm25 = Bm25(1.2, 0.75, "lucene", "english", "english")
    bm25.build(split.documents, folder / "store")
    hits = bm25.search(split.queries.take(slice(None)), K)
    write_trec(Run.from_hits("bm25", split.queries.ids(), split.documents, hits), folder / "bm25.trec")


STEPS: dict[str, Callable[[Path], None]] = {
    "read the texts into the store": read_dataset,
    "write the table": write_table,
    f"search {QUERIES:,} queries, torch from disk": search_torch,
    f"search {QUERIES:,} queries, faiss in memory": search_faiss,
    f"index and search {QUERIES:,} queries, BM25": search_bm25,
}


def run_step(folder: Path, name: str) -> None:
    """Run one step in this process; print its seconds and its peak memory in bytes, mapped files included."""
    start = time.perf_counter()
    STEPS[name](folder)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> int:
    """Run every step in a process of its own; fail when one takes 4 GB."""
    from rich.console import Console
    from rich.table import Table as Rows

    rows = Rows(title=f"{DOCUMENTS:,} synthetic documents, {DIMENSION} dimensions, k={K}", title_justify="left")
    for column in ("", "seconds", "peak memory, GiB (mapped files included)"):
        rows.add_column(column)
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        write_texts(Path(folder) / "texts")
        for name in STEPS:
            command = [sys.executable, "-m", "benchmarks.million", folder, name]
            seconds, peak = map(float, subprocess.check_output(command, text=True).split()[-2:])
            peaks.append(peak)
            rows.add_row(name, f"{seconds:.1f}", f"{peak / 2**30:.2f}")
    Console().print(rows)
    return int(max(peaks) > LIMIT)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run_step(Path(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(main())
