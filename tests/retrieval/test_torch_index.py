"""Exact search against a naive one, in every awkward shape."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import SAMPLED_DOCUMENTS, TorchIndex, largest, pack, unpack


def naive(documents, queries, k):
    """Every score in float64, sorted by score descending and position ascending, padded to k."""
    scores = queries.astype(np.float64) @ documents.astype(np.float64).T
    order = np.lexsort((np.broadcast_to(np.arange(len(documents)), scores.shape), -scores), axis=1)[:, :k]
    padding = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(order, padding, constant_values=-1),
        np.pad(np.take_along_axis(scores, order, axis=1), padding, constant_values=-np.inf),
    )


def search(documents, queries, k, block=2048):
    index = TorchIndex(device="cpu", block=block)
    index.build(Table.from_array(documents))
    return index.search(queries, k)


@settings(max_examples=150, deadline=None)
@given(
    documents=st.integers(1, 60),
    queries=st.integers(0, 7),
    dimension=st.integers(1, 5),
    k=st.integers(1, 80),
    block=st.integers(1, 70),
    spread=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_search_is_the_naive_search(documents, queries, dimension, k, block, spread, seed):
    """Small whole numbers are exact in float32 and full of ties, negative scores and duplicate documents."""
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-spread, spread + 1, (documents, dimension)).astype(np.float32)
    asked = generator.integers(-spread, spread + 1, (queries, dimension)).astype(np.float32)
    hits = search(vectors, asked, k, block)
    positions, scores = naive(vectors, asked, k)
    np.testing.assert_array_equal(hits.positions, positions)
    np.testing.assert_array_equal(hits.scores, scores)
    assert hits.positions.dtype == np.int64
    assert hits.scores.dtype == np.float32


@pytest.mark.parametrize("values", [2, 30, 100_000])
@pytest.mark.parametrize("k", [1, 100, 1500])
def test_guessed_thresholds_lose_nothing(values, k):
    """Enough documents that thresholds are guessed from a sample; with few values nearly everything is a tie."""
    generator = np.random.default_rng(values + k)
    documents = generator.integers(0, values, (5 * SAMPLED_DOCUMENTS, 3)).astype(np.float32)
    queries = generator.integers(-3, 4, (40, 3)).astype(np.float32)
    queries[0] = 0  # every document ties
    hits = search(documents, queries, k)
    positions, scores = naive(documents, queries, k)
    np.testing.assert_array_equal(hits.positions, positions)
    np.testing.assert_array_equal(hits.scores, scores)


def test_a_guess_that_misleads_is_mended():
    """The sample is every so-manieth document; here just those score high, so the guess is far too high."""
    count = 5 * SAMPLED_DOCUMENTS
    documents = -np.arange(1, count + 1, dtype=np.float32)[:, None]
    documents[:: count // SAMPLED_DOCUMENTS] += 10 * count
    queries = np.array([[1.0], [-1.0]], dtype=np.float32)
    hits = search(documents, queries, 1100)
    positions, scores = naive(documents, queries, 1100)
    np.testing.assert_array_equal(hits.positions, positions)
    np.testing.assert_array_equal(hits.scores, scores)


def test_real_numbers_agree_with_float64():
    generator = np.random.default_rng(0)
    documents = generator.standard_normal((30_000, 48)).astype(np.float32)
    queries = generator.standard_normal((1100, 48)).astype(np.float32)  # more than one chunk of queries
    hits = search(documents, queries, 50)
    _, scores = naive(documents, queries[::50], 50)
    np.testing.assert_allclose(hits.scores[::50], scores, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == 50 for row in hits.positions)
    found = np.einsum("qd,qkd->qk", queries.astype(np.float64), documents[hits.positions].astype(np.float64))
    np.testing.assert_allclose(hits.scores, found, rtol=1e-5, atol=1e-5)


@given(
    st.lists(
        st.tuples(st.floats(width=32, allow_nan=False), st.integers(0, 2**32 - 1)), min_size=1, max_size=20, unique=True
    )
)
def test_packed_numbers_sort_like_scores_and_positions(pairs):
    scores = torch.tensor([score for score, _ in pairs], dtype=torch.float32)
    positions = torch.tensor([position for _, position in pairs])
    keys = pack(scores, positions)
    unpacked_positions, unpacked_scores = unpack(keys)
    assert torch.equal(unpacked_positions, positions)
    assert torch.equal(unpacked_scores, scores)
    best_first = sorted(range(len(pairs)), key=lambda place: (-pairs[place][0], pairs[place][1]))
    assert [pairs[i][1] for i in keys.argsort(descending=True)] == [pairs[i][1] for i in best_first]


def test_largest_gives_the_largest():
    keys = torch.randint(-(2**62), 2**62, (5, 40))
    assert torch.equal(largest(keys, 7).sort(dim=1).values, keys.sort(dim=1).values[:, -7:])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"index\.device=cuda is asked for, but this machine has 0 GPUs"):
        TorchIndex(device="cuda")


def test_bad_queries_are_refused():
    index = TorchIndex(device="cpu")
    index.build(Table.from_array(np.ones((4, 3), np.float32)))
    with pytest.raises(UserError, match="vector of query 1 is not finite"):
        index.search(np.array([[1, 2, 3], [np.nan, 0, 0]], np.float32), 2)
    with pytest.raises(UserError, match="k is 0; ask for at least 1"):
        index.search(np.ones((1, 3), np.float32), 0)
    with pytest.raises(UserError, match=r"shape \(1, 2\).*3 dimensions"):
        index.search(np.ones((1, 2), np.float32), 2)


MEMORY_PROBE = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex

rows, dimension = 600_000, 128
vectors = np.memmap(sys.argv[1], np.float32, "w+", shape=(rows, dimension))
generator = np.random.default_rng(0)
for start in range(0, rows, 50_000):
    vectors[start : start + 50_000] = generator.standard_normal((50_000, dimension), dtype=np.float32)
vectors.flush()
queries = np.array(vectors[:64])
table = Table(np.memmap(sys.argv[1], np.float32, "r", shape=(rows, dimension)), "key", "")
index = TorchIndex(device="cpu")
index.build(Table(table.vectors[:20_000], "key", ""))
index.search(queries, 100)  # what libraries take once

with open("/proc/self/status") as status:
    taken = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
limit = taken + 64 * 2**20  # the table has 293 MiB
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
index.build(table)
hits = index.search(queries, 100)
assert (hits.positions[:, 0] == np.arange(64)).all()
print("searched")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memory_stays_far_below_the_table(tmp_path):
    """With 64 MiB to spare a table of 293 MiB is searched, since it is streamed block by block."""
    searched = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(tmp_path / "vectors.f32")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert searched.stdout == "searched\n", searched.stderr


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    generator = np.random.default_rng(0)
    documents = generator.integers(-9, 10, (50_000, 16)).astype(np.float32)
    queries = generator.integers(-9, 10, (300, 16)).astype(np.float32)
    on_gpu = TorchIndex(device="cuda")
    on_gpu.build(Table.from_array(documents))
    for k in (1, 100, 3000):
        expected = search(documents, queries, k)
        hits = on_gpu.search(queries, k)
        np.testing.assert_array_equal(hits.positions, expected.positions)
        np.testing.assert_array_equal(hits.scores, expected.scores)
