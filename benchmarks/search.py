"""Exact search in 100,000 synthetic vectors of 384 dimensions, beside faiss's `IndexFlatIP`; re-ranking by look-up."""

import tempfile
from pathlib import Path

import faiss
import numpy as np

from benchmarks.timing import print_rates, turn_by_turn
from pipeline.retrieval.blocks import Description
from pipeline.retrieval.early_stopping import Reranked, rerank
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import dense_scores, interpolate
from pipeline.retrieval.table import Table
from pipeline.retrieval.table_writer import TableWriter
from pipeline.retrieval.torch_index import TorchIndex

DOCUMENTS, DIMENSION, QUERIES, ROUNDS = 100_000, 384, 1000, 7


def synthetic_table(folder: Path, documents: int, dimension: int) -> Table:
    """Write random unit vectors into a table, block by block."""
    generator = np.random.default_rng(0)
    writer = TableWriter(folder, Description(documents, dimension, 8192, {"texts": "synthetic"}))
    for block in range(writer.description.blocks):
        rows = writer.description.rows_of(block)
        writer.append(unit_vectors(generator, rows.stop - rows.start, dimension))
    return Table.open(folder)


def unit_vectors(generator: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Draw vectors of length 1: float32 `[count, dimension]`."""
    vectors = generator.standard_normal((count, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def compare_search(table: Table, queries: np.ndarray, k: int) -> None:
    """Time both ways to search, after checking that they find the same."""
    flat = faiss.IndexFlatIP(table.dimension)
    flat.add(np.ascontiguousarray(table.vectors))
    ours = TorchIndex(device="cpu")
    ours.build(table)
    theirs, found = flat.search(queries, k)[0], ours.search(queries, k).scores
    assert np.abs(theirs - found).max() < 1e-5, "the two searches disagree"
    ways = {
        "ours (torch, from disk)": lambda: ours.search(queries, k),
        "faiss IndexFlatIP (in memory)": lambda: flat.search(queries, k),
    }
    title = f"Exact search, {DOCUMENTS:,} x {DIMENSION} synthetic vectors, k={k}"
    print_rates(title, turn_by_turn(ways, ROUNDS), QUERIES, "queries", "ours (torch, from disk)")


def time_reranking(table: Table, queries: np.ndarray, candidates: int, depth: int) -> None:
    """Time the interpolated re-ranking of candidates whose vectors are looked up in the table, all or until decided."""
    generator = np.random.default_rng(1)
    positions = np.stack([generator.permutation(len(table))[:candidates] for _ in queries])
    # Scores as BM25's fall: from about 20, steeply and then slowly.
    falling = 20 * np.exp(-np.linspace(0, 1.5, candidates)) * generator.uniform(0.7, 1, (len(queries), 1))
    lexical = Hits(positions, falling.astype(np.float32))

    def score_all() -> Hits:
        return interpolate(lexical, dense_scores(table.vectors, queries, positions), 0.3, "raw")

    def stop_early() -> Reranked:
        return rerank(lexical, table, queries, 0.3, depth)

    found = stop_early()
    assert np.array_equal(found.hits.positions, score_all().cut(depth).positions), "the two rankings disagree"
    ways = {"all scored": score_all, f"until the top {depth} is decided": stop_early}
    print(f"Re-ranking {candidates:,} candidates of {len(table):,}; {found.scored / found.candidates:.1%} decide")
    for way, seconds in turn_by_turn(ways, ROUNDS).items():
        print(f"  {way}: {1000 * sorted(seconds)[ROUNDS // 2] / len(queries):.2f} ms a query")
    print()


def main() -> None:
    """Print all comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        table = synthetic_table(Path(folder) / "table", DOCUMENTS, DIMENSION)
        queries = unit_vectors(np.random.default_rng(1), QUERIES, DIMENSION)
        for k in (100, 1000):
            compare_search(table, queries, k)
        time_reranking(table, queries[:200], 1000, 10)


if __name__ == "__main__":
    main()
