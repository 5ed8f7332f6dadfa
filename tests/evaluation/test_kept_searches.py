"""What is searched once and kept: lists that begin alike at every depth, and approximate ones with their recall."""

import csv
import json

import numpy as np
import pytest
from rich.console import Console

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.evaluation.report import caption, results_table
from pipeline.evaluation.results import write_results
from pipeline.evaluation.scoring import Retriever, score_retrieval
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.faiss_index import FaissIndex
from pipeline.retrieval.index import Index
from pipeline.retrieval.torch_index import TorchIndex
from pipeline.retrieval.trec import read_trec
from tests.evaluation.conftest import save_tiny_model

COPIES, DIFFERENT = 8, 30
TEXTS = [
    f"{first} {second} number {place}"
    for place, (first, second) in enumerate(
        (first, second)
        for first in ("cat", "dog", "fish", "bird", "cow")
        for second in ("roof", "sea", "tree", "sky", "farm", "road")
    )
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Every document eight times, under ids in no order; and queries as long as the documents."""
    ids = np.random.default_rng(0).permutation(COPIES * DIFFERENT)
    documents = Texts.from_pairs((f"d{id_}", TEXTS[place % DIFFERENT]) for place, id_ in enumerate(ids))
    queries = [(f"q{place}", text.replace("number", "no")) for place, text in enumerate(TEXTS)]
    judgements = {f"q{place}": {f"d{ids[place]}": 1} for place in range(DIFFERENT)}
    return Dataset(
        "copies", {"test": Split("test", documents, Texts.from_pairs(queries), judgements, {})}, 1, False, "print", {}
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> DualEncoder:
    return DualEncoder.load(save_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def retriever_of(dataset, tmp_path):
    def make(index: Index, k: int | None = None, **changed) -> Retriever:
        settings = {
            "lexical": Bm25(1.2, 0.75, "lucene", "english", "english"),
            "encoding": EncodingSettings(device="cpu", precision="float32"),
            "store": tmp_path / "store",
            "measures": ["mrr@5"],
            "hybrid_weights": [0.5],
            "hybrid_normalisation": "raw",
            "hybrid_depth": None,
        }
        return Retriever(changed.pop("dataset", dataset), "test", index=index, k=k, **(settings | changed))

    return make


def rankings(systems, depth):
    return {
        name: [system.run.ranking(query)[:depth] for query in system.run.query_ids] for name, system in systems.items()
    }


@pytest.mark.parametrize("make", [FaissIndex, TorchIndex], ids=["faiss", "torch"])
def test_the_first_results_are_the_same_however_many_are_kept(dataset, encoder, retriever_of, make, tmp_path):
    whole, few = (retriever_of(make(device="cpu"), k) for k in (None, 5))
    found = [each.bm25() | each.encoder(encoder, hybrid=None) for each in (whole, few)]
    assert rankings(found[0], 5) == rankings(found[1], 5)
    hybrid, early = (
        retriever_of(make(device="cpu"), hybrid_depth=depth).encoder(encoder)["hybrid"] for depth in (None, 5)
    )
    assert rankings({"hybrid": hybrid}, 5) == rankings({"hybrid": early}, 5)
    assert early.details["dense_scored"] < early.details["candidates"]
    for name, system in found[0].items():
        tied = [len(np.unique(system.run.scores(query)[:COPIES])) < COPIES for query in system.run.query_ids]
        assert all(tied), name  # or nothing was tried
    write_results(whole.results(found[0]), tmp_path / "run")
    assert rankings({"dense": found[0]["dense"]}, None)["dense"] == [
        read_trec(tmp_path / "run" / "runs" / "test.dense.trec").ranking(query)
        for query in found[0]["dense"].run.query_ids
    ]


def test_retrieval_in_memory_cuts_ties_as_the_retriever_does(dataset, encoder, retriever_of):
    retriever = retriever_of(TorchIndex("cpu"))
    kept = retriever.encoder(encoder, hybrid=None)["dense"].scores
    documents, queries = retriever.searches.tables(encoder, retriever.split, {})
    scored = score_retrieval(np.array(queries.vectors), documents, retriever.split, ["mrr@5"], dataset, "cpu")
    assert scored.per_query["mrr@5"].tolist() == kept.per_query["mrr@5"].tolist()


def test_an_approximate_index_has_its_recall_beside_its_figures(encoder, retriever_of, tmp_path):
    index = FaissIndex("IVF6,Flat", device="cpu", search_parameters={"nprobe": 1})
    for _ in range(2):  # searched, and found again
        retriever = retriever_of(index)
        systems = retriever.bm25() | retriever.encoder(encoder)
        metrics = write_results(retriever.results(systems), tmp_path / "run")
        said = metrics["details"]["dense"]["approximate"]
        lists = [len(systems["dense"].run.ranking(query)) for query in systems["dense"].run.query_ids]
        exact = retriever_of(TorchIndex("cpu")).encoder(encoder, hybrid=None)["dense"].run
        found = [len(set(systems["dense"].run.ranking(query)) & set(exact.ranking(query))) for query in exact.query_ids]
        assert said["recall"]["240"] == pytest.approx(np.mean(found) / 240)
        assert 0 < said["recall"]["240"] < 0.9
        assert said["short_lists"] == sum(length < 240 for length in lists) > 0
        assert json.loads((tmp_path / "run" / "metrics.json").read_text())["details"]["dense"]["approximate"] == said
        assert "approximate" not in metrics["details"]["bm25"] | metrics["details"]["hybrid"]
    share = said["recall"]["240"]
    console = Console(width=300, record=True)
    console.print(results_table(metrics))
    assert (
        f"dense (of exact search: recall@10 {said['recall']['10']:.3f}, recall@240 {share:.3f})"
        in console.export_text()
    )
    lines = [line for line in caption(metrics) if line.startswith("dense: ")]
    assert lines[0].startswith("dense: faiss IVF6,Flat, nprobe=1, is approximate: of what exact search finds it finds ")
    assert f"recall@240 {share:.4f} (30 queries sampled)." in lines[0]
    assert lines[1:] == [
        f"dense: queries with fewer than the 240 results asked for: {said['short_lists']}.",
        "dense: nprobe=1 is below the 6 that 240 results need.",
    ]
    with open(tmp_path / "run" / "results.csv", encoding="utf-8") as file:
        written = {row["system"]: row["recall@240 of exact search"] for row in csv.DictReader(file)}
    assert written == {"bm25": "", "dense": f"{share:.6f}", "hybrid": ""}


def test_an_exact_index_says_nothing_of_recall(encoder, retriever_of):
    retriever = retriever_of(FaissIndex("Flat"))
    metrics = retriever.results(retriever.encoder(encoder)).metrics({})
    assert not any("approximate" in details for details in metrics["details"].values())
    assert not any("exact" in line for line in caption(metrics))


def test_what_one_effort_found_is_not_taken_for_what_another_finds(encoder, retriever_of):
    lists = {}
    for nprobe in (1, 6, None):
        index = FaissIndex("IVF6,Flat", device="cpu", search_parameters={"nprobe": nprobe})
        lists[nprobe] = rankings(retriever_of(index).encoder(encoder, hybrid=None), None)
    assert lists[1] != lists[6] == lists[None]


def test_documents_of_hardly_any_word_are_said_where_they_are_most(retriever_of):
    texts = Texts.from_pairs([("a", "red"), ("b", "red"), ("c", "red wing")])
    split = Split("test", texts, Texts.from_pairs([("q", "wing")]), {"q": {"c": 1}}, {})
    few = Dataset("few", {"test": split}, 1, False, "few", {})
    for of, lines in ((few, 1), (few, 1), (None, 0)):  # searched, and found again; and where there are words
        retriever = retriever_of(TorchIndex("cpu"), **({"dataset": of} if of else {}))
        said = caption(retriever.results(retriever.bm25()).metrics({}))
        assert said.count("bm25: documents with fewer than two words, more than half of all: 2.") == lines
        assert sum("fewer than two words" in line for line in said) == lines
