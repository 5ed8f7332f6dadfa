"""Approximate indexes look as hard as k needs, and what they miss is measured and said."""

import numpy as np
import pytest

from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.recall import SAMPLED_QUERIES, recall_of_exact
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex
from tests.retrieval.test_configs import composed, instantiate

DOCUMENTS, QUERIES = 3600, 300


@pytest.fixture(scope="module")
def table():
    """Documents in clouds of unlike sizes."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((60, 32))
    clouds = np.minimum(generator.geometric(0.05, size=DOCUMENTS) - 1, 59)
    vectors = centres[clouds] + 0.6 * generator.standard_normal((DOCUMENTS, 32))
    return Table.from_array(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def queries(table):
    noise = np.random.default_rng(1).standard_normal((QUERIES, 32)).astype(np.float32)
    return table.vectors[:QUERIES] + 0.1 * noise


def built(table, factory, **settings):
    index = FaissIndex(factory, device="cpu", **settings)
    index.build(table)
    return index


def shares(hits, table, queries, depth):
    """What exact search finds, counted by hand in float64, for every query."""
    best = np.argsort(-(queries.astype(np.float64) @ table.vectors.T.astype(np.float64)), axis=1)[:, :depth]
    found = hits.positions[:, :depth]
    return np.array([len(set(one) & set(other)) / depth for one, other in zip(found, best, strict=True)])


@pytest.mark.parametrize("factory", ["IVF64,Flat", "HNSW32", "RR32,IVF64,Flat", "IVF64,SQ8"])
@pytest.mark.parametrize("k", [10, 1000])
def test_lists_are_full_and_nearly_exact_without_any_setting(table, queries, factory, k):
    hits = built(table, factory).search(queries, k)
    assert (hits.positions >= 0).all()
    assert shares(hits, table, queries, k).mean() > 0.95


@pytest.mark.parametrize(("name", "parameter"), [("faiss_ivf", "nprobe"), ("faiss_hnsw", "efSearch")])
def test_the_configured_indexes_follow_k_unless_told_otherwise(table, queries, name, parameter):
    config = composed("index", name)
    if name == "faiss_ivf":
        config.factory = "IVF64,Flat"  # the table is small
    else:
        config.build_parameters.efConstruction = 40  # and quickly built
    found = {}
    for value in (None, 1):
        config.search_parameters[parameter] = value
        index = instantiate(config)
        index.build(table)
        found[value] = shares(index.search(queries, 1000), table, queries, 1000).mean()
        parameters = [index.parameters(k)[parameter] for k in (10, 1000)]
        assert (parameters[0] < parameters[1]) if value is None else parameters == [1, 1]
    assert found[1] < 0.7 < 0.99 < found[None]


def test_recall_is_that_of_brute_force_over_evenly_spread_queries(table, queries):
    index = built(table, "IVF64,Flat", search_parameters={"nprobe": 2})
    hits = index.search(queries, 1000)
    said = recall_of_exact(index, queries, hits, None)
    sampled = np.unique(np.linspace(0, QUERIES - 1, SAMPLED_QUERIES).astype(int))
    assert said["sampled_queries"] == len(sampled) == SAMPLED_QUERIES
    assert list(said["recall"]) == ["10", "1000"]
    for depth, share in said["recall"].items():
        assert share == pytest.approx(shares(hits, table, queries, int(depth))[sampled].mean(), abs=1e-3)
    assert said["short_lists"] == sum(len(row[row >= 0]) < 1000 for row in hits.positions) > 250
    assert said["parameters"] == {"nprobe": 2}
    assert said["shortcomings"] == ["nprobe=2 is below the 64 that 1,000 results need"]


def test_recall_of_an_exact_search_is_whole_with_equal_documents_too(queries):
    documents = Table.from_array(np.repeat(np.random.default_rng(0).standard_normal((40, 32)), 30, axis=0))
    precedence = np.random.default_rng(1).permutation(1200)
    index = built(documents, "IVF8,Flat", search_parameters={"nprobe": 8})
    hits = index.search(queries, 100, precedence)
    assert recall_of_exact(index, queries, hits, precedence)["recall"] == {"10": 1.0, "100": 1.0}


@pytest.mark.parametrize(
    ("factory", "settings", "k", "sentences"),
    [
        ("IVF64,Flat", {"nprobe": 16}, 10, []),
        ("IVF64,Flat", {"nprobe": 16}, 1000, ["nprobe=16 is below the 64 that 1,000 results need"]),
        ("HNSW8", {"efSearch": 999}, 1000, ["efSearch=999 is below the 1,000 that 1,000 results need"]),
        ("HNSW8", {"efSearch": 1000}, 1000, []),
        ("PQ4x4np", {}, 1000, []),
        ("PQ4np", {}, 10, ["it was trained on 3,600 documents, and faiss wants 9,984 for its centroids"]),
        ("IVF100,Flat", {}, 10, ["it was trained on 3,600 documents, and faiss wants 3,900 for its centroids"]),
    ],
)
def test_what_falls_short_is_said(table, factory, settings, k, sentences):
    index = FaissIndex(factory, device="cpu", search_parameters=settings)
    index._table = table  # what is said needs no search
    assert index.shortcomings(k) == sentences


def test_what_decides_the_answers_names_what_was_searched_with(table):
    follows, told = built(table, "IVF64,Flat"), built(table, "IVF64,Flat", search_parameters={"nprobe": 32})
    assert follows.identity(10) == told.identity(10)
    assert follows.identity(1000) != told.identity(1000) == told.identity(10)
    assert not follows.exact
    assert built(table, "Flat").exact
    assert not built(table, "SQ8").exact
    assert not built(table, "PCA8,Flat").exact
    assert TorchIndex("cpu").exact
