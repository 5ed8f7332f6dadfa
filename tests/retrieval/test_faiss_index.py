"""faiss indexes against exact search, their files, and what faiss cannot do."""

import subprocess
import sys

import faiss
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.retrieval import faiss_index
from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex


@pytest.fixture(scope="module")
def table():
    """Documents in 20 clouds, which approximate indexes can make use of."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((20, 16)).astype(np.float32)
    vectors = centres[generator.integers(20, size=2000)] + 0.4 * generator.standard_normal((2000, 16))
    return Table.from_array(vectors)


@pytest.fixture(scope="module")
def queries(table):
    return table.vectors[:60] + 0.1


@pytest.fixture(scope="module")
def exact(table, queries):
    index = TorchIndex(device="cpu")
    index.build(table)
    return index.search(queries, 10)


def share_found(hits, exact):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(hits.positions, exact.positions, strict=True)])


def test_flat_is_exact(table, queries, exact):
    index = FaissIndex("Flat")
    index.build(table)
    hits = index.search(queries, 10)
    np.testing.assert_array_equal(hits.positions, exact.positions)
    np.testing.assert_allclose(hits.scores, exact.scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("factory", "parameters", "least"),
    [
        ("IVF16,Flat", {"search_parameters": {"nprobe": 16}}, 1.0),
        ("IVF16,Flat", {"search_parameters": {"nprobe": 4}}, 0.8),
        ("HNSW16", {"build_parameters": {"efConstruction": 100}, "search_parameters": {"efSearch": 200}}, 0.95),
        ("PQ8np", {}, 0.6),
        ("PCA8,IVF4,PQ8np", {"search_parameters": {"nprobe": 4}}, 0.3),
        ("SQ8", {}, 0.9),
    ],
)
def test_any_factory_finds_most_and_is_shared(table, queries, exact, tmp_path, factory, parameters, least):
    found = []
    for _ in range(2):
        index = FaissIndex(factory, **parameters)
        index.prepare(table, tmp_path)
        found.append(index.search(queries, 10))
    assert share_found(found[0], exact) >= least
    np.testing.assert_array_equal(found[0].positions, found[1].positions)
    assert len(list((tmp_path / "indexes").glob("*/index.faiss"))) == 1
    assert (np.diff(found[0].scores, axis=1) <= 0).all()


def test_search_parameters_are_used(table, queries, exact, tmp_path):
    found = {}
    for nprobe in (1, 16):
        index = FaissIndex("IVF16,Flat", search_parameters={"nprobe": nprobe})
        index.prepare(table, tmp_path)
        found[nprobe] = share_found(index.search(queries, 10), exact)
    assert found[1] < found[16] == 1.0


def test_training_depends_on_the_seed_alone(table, queries, monkeypatch):
    monkeypatch.setattr(faiss_index, "POINTS_PER_CENTROID", 2)  # so that a sample is drawn from these few documents
    same, again, other = (FaissIndex("PQ8x4np", seed=seed) for seed in (1, 1, 2))
    hits = []
    for index in (same, again, other):
        index.build(table)
        hits.append(index.search(queries, 10))
    np.testing.assert_array_equal(hits[0].scores, hits[1].scores)
    assert (hits[0].scores != hits[2].scores).any()


def test_more_than_there_are_is_padded_and_ties_are_by_position():
    index = FaissIndex("Flat")
    index.build(Table.from_array(np.ones((5, 4), np.float32)))
    hits = index.search(np.ones((1, 4), np.float32), 8)
    assert hits.positions.tolist() == [[0, 1, 2, 3, 4, -1, -1, -1]]
    assert hits.scores.tolist() == [[4.0] * 5 + [-np.inf] * 3]


def test_documents_are_added_in_blocks(table, queries, exact, monkeypatch):
    monkeypatch.setattr(faiss_index, "ROWS_AT_ONCE", 37)
    index = FaissIndex("Flat")
    index.build(table)
    np.testing.assert_array_equal(index.search(queries, 10).positions, exact.positions)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("Flatt", "index.factory=Flatt is no faiss index for vectors of 16 dimensions .*try Flat"),
        ("PQ7", "PQ7 is no faiss index for vectors of 16 dimensions|PQ7 cannot be trained"),
        ("LSH", "LSH is no faiss index"),
        ("HNSW16,PQ8", "HNSW16,PQ8 cannot search inner products"),
        ("IVF4000,Flat", "needs at least 4,000 documents to train on, but there are 2,000"),
    ],
)
def test_factories_that_do_not_fit_are_one_sentence(table, factory, sentence):
    with pytest.raises(UserError, match=sentence):
        FaissIndex(factory).build(table)


def test_parameters_that_do_not_fit_are_one_sentence(table):
    with pytest.raises(UserError, match=r"index\.search_parameters\.nprobe=4 does not fit index\.factory=Flat"):
        FaissIndex("Flat", search_parameters={"nprobe": 4}).build(table)
    with pytest.raises(UserError, match=r"index\.build_parameters\.efConstruction=4 does not fit"):
        FaissIndex("Flat", build_parameters={"efConstruction": 4}).build(table)


@pytest.mark.parametrize("value", [0, -1, 0.5, "many", True])
def test_parameters_that_are_no_numbers_of_anything_are_refused(value):
    for setting in ("build_parameters", "search_parameters"):
        with pytest.raises(UserError, match=rf"index\.{setting}\.nprobe={value} must be a whole number of at least 1"):
            FaissIndex("IVF4,Flat", **{setting: {"nprobe": value}})


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"index\.device=tpu is unknown"):
        FaissIndex(device="tpu")
    if not faiss.get_num_gpus():
        with pytest.raises(UserError, match=r"index\.device=gpu asks for a GPU, but faiss has none"):
            FaissIndex(device="gpu")


def test_beyond_what_gpus_rank_search_is_exact_by_torch(table, queries):
    """faiss on a GPU ranks at most 2,048; the flag stands for one, since the way round it needs none."""
    index = FaissIndex("SQ8")
    index.build(table)
    index.on_gpu = True
    big = Table.from_array(np.tile(table.vectors, (2, 1)))
    index._table = big
    exact = TorchIndex()
    exact.build(big)
    np.testing.assert_array_equal(index.search(queries, 2049).positions, exact.search(queries, 2049).positions)


def test_a_saved_index_is_opened_only_whole_and_over_its_own_vectors(table, tmp_path):
    index = FaissIndex("IVF4,Flat")
    index.build(table)
    index.save(tmp_path)
    with pytest.raises(UserError, match="made from other vectors or settings"):
        FaissIndex("IVF4,Flat").open(tmp_path, Table.from_array(table.vectors + 1))
    with pytest.raises(UserError, match="made from other vectors or settings"):
        FaissIndex("IVF5,Flat").open(tmp_path, table)
    path = tmp_path / "index.faiss"
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    with pytest.raises(UserError, match="is damaged; delete the folder"):
        FaissIndex("IVF4,Flat").open(tmp_path, table)


WARNINGS = """
import numpy as np
from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.table import Table
FaissIndex("PQ4np").build(Table.from_array(np.random.default_rng(0).standard_normal((300, 8))))
"""


def test_faisss_warnings_come_once():
    """In a process of its own: faiss writes from C++, past Python's standard error."""
    ran = subprocess.run([sys.executable, "-c", WARNINGS], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("WARNING clustering 300 points to 256 centroids") == 1


@pytest.mark.gpu
def test_gpu_agrees_with_exact_search(table, queries, exact):
    for factory, least in (("Flat", 1.0), ("IVF16,Flat", 0.5)):
        index = FaissIndex(factory, device="gpu")
        index.build(table)
        assert index.on_gpu
        assert share_found(index.search(queries, 10), exact) >= least
