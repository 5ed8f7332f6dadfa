"""Equal scores have one order, by id and descending as in trec_eval, however few or many results are asked for."""

import numpy as np
import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.retrieval import ties
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.early_stopping import rerank
from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import dense_scores, interpolate
from pipeline.retrieval.negatives import Bm25Mined
from pipeline.retrieval.run import Run
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex
from pipeline.retrieval.trec import read_trec, write_trec

DOCUMENTS = 700
WORDS = ["red", "blue", "wing", "flow", "heat"]


@pytest.fixture(scope="module")
def texts():
    """Few words in every document, so that many score the same; ids whose order is not that of the documents."""
    generator = np.random.default_rng(0)
    ids = [f"d{number}" for number in generator.permutation(DOCUMENTS)]
    return Texts.from_pairs((id_, " ".join(generator.choice(WORDS, 3))) for id_ in ids)


def whole_numbers(rows, seed, dimension=24):
    """Vectors whose products are exact in any order of summing, and often equal."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, dimension)).astype(np.float32)


def brute_force(queries, documents, ids):
    """Positions of all documents for every query: by score, then by id, both descending."""
    by_id = sorted(range(len(ids)), key=lambda place: ids[place], reverse=True)
    scores = queries.astype(np.float64) @ documents.T.astype(np.float64)
    return np.array([sorted(by_id, key=lambda place: -row[place]) for row in scores])


def test_precedence_is_the_descending_order_of_ids(texts):
    ids = texts.ids()
    assert [ids[place] for place in np.argsort(texts.precedence)] == sorted(ids, reverse=True)
    unusual = ["b", "é", "10", "9", "😀", "\uffff", "B"]
    mixed = Texts.from_pairs((id_, "") for id_ in unusual)
    by_bytes = sorted(unusual, key=str.encode, reverse=True)  # as strcmp has it
    assert [unusual[place] for place in np.argsort(mixed.precedence)] == by_bytes
    view = texts.select(np.array([5, 600, 3]))
    assert [view.ids()[place] for place in np.argsort(view.precedence)] == sorted(view.ids(), reverse=True)


@pytest.mark.parametrize(
    "index",
    [
        TorchIndex("cpu"),
        TorchIndex("cpu", block=13),
        TorchIndex("cpu", block=DOCUMENTS - 1),
        FaissIndex("Flat"),
        FaissIndex("IVF4,Flat", search_parameters={"nprobe": 4}),
        FaissIndex("HNSW16", search_parameters={"efSearch": 700}, build_parameters={"efConstruction": 700}),
    ],
    ids=["torch", "blocks of 13", "a last block of one", "faiss", "faiss IVF", "faiss HNSW"],
)
def test_every_depth_begins_as_the_whole_list_does(texts, index):
    documents, queries = whole_numbers(DOCUMENTS, 1), whole_numbers(30, 2)
    index.build(Table.from_array(documents))
    expected = brute_force(queries, documents, texts.ids())
    for k in (1, 10, 100, DOCUMENTS):
        hits = index.search(queries, k, texts.precedence)
        np.testing.assert_array_equal(hits.positions, expected[:, :k])
        assert (np.diff(hits.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("make", [TorchIndex, FaissIndex], ids=["torch", "faiss"])
def test_where_a_guess_spares_work_or_nearly_all_are_equal_the_order_is_the_same(monkeypatch, make):
    monkeypatch.setattr(ties, "RESULTS_AT_ONCE", 50_000)
    documents = np.ones((20_000, 4), np.float32)
    documents[::1000] = 2
    precedence = np.random.default_rng(3).permutation(len(documents))
    index = make(device="cpu")
    index.build(Table.from_array(documents))
    hits = index.search(np.ones((3, 4), np.float32), 30, precedence)
    order = sorted(range(len(documents)), key=lambda place: (-documents[place, 0], precedence[place]))
    assert hits.positions.tolist() == [order[:30]] * 3


def test_ties_between_codes_are_ordered_too(texts):
    """Vectors that share their codes score the same, though they differ."""
    index = FaissIndex("PQ4x2np")
    index.build(Table.from_array(whole_numbers(DOCUMENTS, 1) + 0.1))
    queries = whole_numbers(20, 2)
    whole = index.search(queries, DOCUMENTS, texts.precedence)
    assert (np.diff(whole.scores, axis=1) == 0).mean() > 0.3
    tied = np.diff(whole.scores, axis=1) == 0
    assert (np.diff(texts.precedence[whole.positions], axis=1)[tied] > 0).all()
    for k in (5, 50):
        np.testing.assert_array_equal(index.search(queries, k, texts.precedence).positions, whole.positions[:, :k])


@pytest.mark.parametrize("make", [TorchIndex, FaissIndex], ids=["torch", "faiss"])
def test_equal_vectors_get_equal_scores_wherever_they_stand(make):
    """Matrix products in pieces of many shapes round differently at the edges; 768 dimensions show it."""
    generator = np.random.default_rng(0)
    documents = generator.standard_normal((4097, 768)).astype(np.float32)
    same = np.append(generator.choice(4096, 150, replace=False), 4096)
    documents[same] = documents[0] = 3 * documents[7]
    queries = generator.standard_normal((333, 768)).astype(np.float32)
    index = make(device="cpu")
    index.build(Table.from_array(documents))
    hits = index.search(queries, len(documents))
    of_equals = np.isin(hits.positions, [0, 7, *same]) & (hits.positions != 7)
    scores = hits.scores[of_equals].reshape(len(queries), -1)
    assert (scores == scores[:, :1]).all()
    assert (np.diff(hits.positions[of_equals].reshape(len(queries), -1), axis=1) > 0).all()


@pytest.mark.parametrize("make", [TorchIndex, FaissIndex], ids=["torch", "faiss"])
def test_a_query_scores_the_same_alone_and_among_others(make):
    generator = np.random.default_rng(0)
    documents, queries = (generator.standard_normal((rows, 768)).astype(np.float32) for rows in (500, 40))
    index = make(device="cpu")
    index.build(Table.from_array(documents))
    together = index.search(queries, 20)
    for row in range(5):
        alone = index.search(queries[row : row + 1], 20)
        assert alone.scores.tolist() == together.scores[row : row + 1].tolist()


def test_bm25_cuts_ties_where_a_run_orders_them(texts, tmp_path):
    bm25 = Bm25(1.2, 0.75, "lucene", None, None)
    bm25.build(texts, tmp_path)
    queries = ["red", "blue wing", "flow heat red"]
    whole, few = (Run.from_hits("bm25", queries, texts, bm25.search(queries, k)) for k in (DOCUMENTS, 10))
    for query in queries:
        assert len(np.unique(whole.scores(query)[:10])) < 10
        assert few.ranking(query) == whole.ranking(query)[:10]


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_stopping_early_keeps_of_equals_those_that_go_first(texts, weight):
    """The lexical scores fall in steps, so that the bound of what comes equals the worst that is kept."""
    vectors, queries = whole_numbers(DOCUMENTS, 4), whole_numbers(20, 5)
    generator = np.random.default_rng(6)
    steps = np.sort(generator.integers(0, 40, (20, 200)))[:, ::-1].astype(np.float32)
    drawn = np.stack([generator.permutation(DOCUMENTS)[:200] for _ in queries])
    lexical = Hits.ordered(drawn, steps, texts.precedence)
    dense = dense_scores(vectors, queries, lexical.positions)
    whole = interpolate(lexical, dense, weight, "raw", texts.precedence)
    early = rerank(lexical, Table.from_array(vectors), queries, weight, 10, precedence=texts.precedence)
    np.testing.assert_array_equal(early.hits.positions, whole.positions[:, :10])
    ids = np.array(texts.ids())
    run = Run.from_hits("hybrid", [str(row) for row in range(20)], texts, whole)
    for row in range(20):
        assert run.ranking(str(row)) == ids[whole.positions[row]].tolist()


def test_of_equal_documents_the_same_are_mined_as_negatives_whatever_the_depth(texts, tmp_path):
    queries = Texts.from_pairs([("q", "red wing")])
    split = Split("train", texts, queries, {"q": {texts.ids()[0]: 1}}, {})
    dataset = Dataset("tied", {"train": split}, 1, False, "fingerprint", {})
    bm25 = Bm25(1.2, 0.75, "lucene", None, None)
    deep, shallow = (Bm25Mined(1, depth, 0).candidates(dataset, split, bm25, tmp_path)[0] for depth in (300, 20))
    assert shallow.tolist() == deep[: len(shallow)].tolist()


def test_a_run_file_has_the_order_and_the_ties_of_its_run(texts, tmp_path):
    """Scores a last bit apart stay apart, equal ones equal; ranks, scores and ids agree in what order they give."""
    close = np.float32(0.1) + np.float32(2**-27) * np.arange(6, dtype=np.float32)
    assert len(np.unique(close)) == 6
    scores = np.repeat(close[::-1], 3)[None]
    run = Run.from_hits("dense", ["q"], texts, Hits(np.arange(18)[None], scores))
    write_trec(run, tmp_path / "run.trec")
    lines = [line.split() for line in (tmp_path / "run.trec").read_text().splitlines()]
    assert [int(line[3]) for line in lines] == list(range(1, 19))
    as_trec_eval = sorted(lines, key=lambda line: (np.float32(line[4]), line[2]), reverse=True)
    assert [line[2] for line in as_trec_eval] == [line[2] for line in lines] == run.ranking("q")
    assert len({line[4] for line in lines}) == 6
    again = read_trec(tmp_path / "run.trec")
    assert again.ranking("q") == run.ranking("q")
    assert again.scores("q").tolist() == run.scores("q").tolist()
