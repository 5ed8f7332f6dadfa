"""Retrieval over a split: against brute force, with BM25 shared and the hybrid tuned elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.beir import Beir
from pipeline.data.dataset import Dataset, Split
from pipeline.data.source import open_dataset
from pipeline.data.texts import Texts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.errors import UserError
from pipeline.evaluation.scoring import Retriever, measure_retrieval
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.torch_index import TorchIndex
from tests.data.conftest import write_json_lines, write_text
from tests.evaluation.conftest import save_tiny_model

DOCUMENTS = [
    ("d1", "The cat sleeps on the warm roof."),
    ("d2", "Copy a file and its permission bits."),
    ("d3", "Return the square root of a number."),
    ("d4", "A stock fell on the exchange today."),
    ("d5", "Boil the pasta in salted water."),
    ("d6", "The file system is full."),
]
QUERIES = [("q1", "kitten dozing on a roof"), ("q2", "duplicate a file"), ("q3", "mathematics: sqrt of a number")]
JUDGEMENTS = {"q1": {"d1": 1}, "q2": {"d2": 2, "d6": 1}, "q3": {"d3": 1}}
VALIDATION = [("v1", "cooking noodles in water"), ("v2", "shares lost on the exchange")]
SETTINGS = EncodingSettings(device="cpu")


class CountingBm25(Bm25):
    """BM25 that counts how often it was asked."""

    asked = 0

    def search(self, queries: list[str], k: int) -> Hits:
        self.asked += 1
        return super().search(queries, k)


class CountingIndex(TorchIndex):
    """Exact search that counts how often it was asked."""

    asked = 0

    def search(self, queries: np.ndarray, k: int, precedence: np.ndarray | None = None) -> Hits:
        self.asked += 1
        return super().search(queries, k, precedence)


def split(name: str, queries: list[tuple[str, str]], judgements: dict[str, dict[str, int]]) -> Split:
    return Split(name, Texts.from_pairs(DOCUMENTS), Texts.from_pairs(queries), judgements, {})


@pytest.fixture
def dataset() -> Dataset:
    splits = {
        "test": split("test", QUERIES, JUDGEMENTS),
        "validation": split("validation", VALIDATION, {"v1": {"d5": 1}, "v2": {"d4": 1}}),
    }
    return Dataset("small", splits, 1, False, "fingerprint", {})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> DualEncoder:
    return DualEncoder.load(save_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def retriever_of(tmp_path: Path):
    def make(dataset: Dataset, **changed) -> Retriever:
        settings = {
            "lexical": CountingBm25(1.2, 0.75, "lucene", "english", "english"),
            "index": TorchIndex(device="cpu"),
            "encoding": SETTINGS,
            "store": tmp_path,
            "measures": ["ndcg@10", "mrr@10"],
            "k": None,
            "hybrid_weights": [0.0, 0.5, 1.0],
            "hybrid_normalisation": "minmax",
            "hybrid_depth": None,
        }
        return Retriever(dataset, changed.pop("split", "test"), **(settings | changed))

    return make


def test_dense_is_brute_force_over_the_encoders_vectors(dataset, encoder, retriever_of):
    run = retriever_of(dataset).encoder(encoder)["dense"].run
    documents = encode(encoder.document, [text for _, text in DOCUMENTS], "document", SETTINGS)
    queries = encode(encoder.query, [text for _, text in QUERIES], "query", SETTINGS)
    for (query, _), scores in zip(QUERIES, queries @ documents.T, strict=True):
        assert run.ranking(query) == [DOCUMENTS[place][0] for place in np.argsort(-scores)]
        np.testing.assert_allclose(run.scores(query), np.sort(scores)[::-1], atol=1e-5)


def test_bm25_is_asked_once_for_each_split_whatever_is_scored(dataset, encoder, retriever_of):
    retriever = retriever_of(dataset)
    systems = retriever.bm25()
    systems |= retriever.encoder(encoder, dense="zero_shot", hybrid=None)
    systems |= retriever.encoder(encoder)
    systems |= retriever.encoder(encoder, dense="again", hybrid="again+bm25")
    assert list(systems) == ["bm25", "zero_shot", "dense", "hybrid", "again", "again+bm25"]
    assert retriever.lexical.asked == 2  # once for the test queries, once for the validation queries
    assert systems["zero_shot"].scores.means() == systems["dense"].scores.means()


def test_a_second_retriever_of_the_same_tower_encodes_nothing_and_searches_nothing(dataset, encoder, retriever_of):
    found = []
    for _ in range(2):
        index, encoding = CountingIndex(device="cpu"), EncodingSettings(device="cpu")
        retriever = retriever_of(dataset, index=index, encoding=encoding)
        systems = retriever.bm25() | retriever.encoder(encoder)
        counts = (encoding.tally.encoded_texts, index.asked, retriever.lexical.asked)
        found.append((counts, retriever.results(systems).metrics({}), [list(each.run) for each in systems.values()]))
    (first, metrics, runs), (second, metrics_again, runs_again) = found
    assert first == (6 + 3 + 6 + 2 - 6, 1, 2)  # both splits search the same documents
    assert second == (0, 0, 0)
    assert metrics == metrics_again
    assert repr(runs) == repr(runs_again)


@pytest.mark.parametrize(
    "changed",
    [
        {"k": 5, "measures": ["ndcg@3"]},
        {"measures": ["mrr@10"]},
        {"hybrid_weights": [0.5]},
        {"hybrid_normalisation": "raw"},
        {"lexical": CountingBm25(0.9, 0.75, "lucene", "english", "english")},
    ],
)
def test_what_was_kept_is_not_taken_for_what_other_settings_find(dataset, encoder, retriever_of, tmp_path, changed):
    before = retriever_of(dataset)
    before.bm25(), before.encoder(encoder)
    mixed = retriever_of(dataset, **changed)
    alone = retriever_of(dataset, **changed, store=tmp_path / "other")
    for name in ("bm25", "dense", "hybrid"):
        one, other = ((each.bm25() | each.encoder(encoder))[name] for each in (mixed, alone))
        assert (repr(list(one.run)), one.details) == (repr(list(other.run)), other.details)


def test_other_judgements_of_the_validation_split_tune_again(dataset, encoder, retriever_of):
    retriever_of(dataset).encoder(encoder)
    judged = replace(dataset.splits["validation"], judgements={"v1": {"d1": 1}, "v2": {"d2": 1}})
    other = replace(dataset, splits={**dataset.splits, "validation": judged})
    tried = [retriever_of(each).encoder(encoder)["hybrid"].details["tried"] for each in (dataset, other)]
    assert tried[0] != tried[1]


def test_the_hybrid_ranks_what_bm25_found_with_the_weight_best_on_validation(dataset, encoder, retriever_of):
    retriever = retriever_of(dataset)
    bm25, hybrid = retriever.bm25()["bm25"], retriever.encoder(encoder)["hybrid"]
    for query, _ in QUERIES:
        assert sorted(hybrid.run.ranking(query)) == sorted(bm25.run.ranking(query))
    assert hybrid.details["tuned_on"] == "validation"
    tried = hybrid.details["tried"]
    assert list(tried) == ["0", "0.5", "1"]
    assert tried[f"{hybrid.details['lexical_weight']:g}"] == max(tried.values())


def test_the_judgements_of_the_scored_split_have_no_part_in_the_weight(dataset, encoder, retriever_of):
    other = replace(
        dataset,
        splits={**dataset.splits, "test": split("test", QUERIES, {"q1": {"d6": 1}, "q2": {"d5": 1}, "q3": {"d1": 1}})},
    )
    details = [retriever_of(each).encoder(encoder)["hybrid"].details for each in (dataset, other)]
    assert details[0] == details[1]


@pytest.mark.parametrize("best", [0.0, 1.0])
def test_the_validation_split_decides_the_weight(dataset, encoder, retriever_of, best):
    """Judge relevant what only the dense, or only the lexical, order puts first."""
    query = ("v", "cat cat number file")
    alone = replace(dataset, splits={"test": split("test", [query], {"v": {"d1": 1}})})
    first = {
        weight: retriever_of(alone, hybrid_weights=[weight]).encoder(encoder)["hybrid"].run.ranking("v")[0]
        for weight in (0.0, 1.0)
    }
    assert first[0.0] != first[1.0]
    validation = split("validation", [query], {"v": {first[best]: 1}})
    tuned = replace(dataset, splits={**dataset.splits, "validation": validation})
    details = retriever_of(tuned, measures=["mrr@10"], hybrid_weights=[0.0, 1.0]).encoder(encoder)["hybrid"].details
    assert (details["lexical_weight"], details["tuned_on"]) == (best, "validation")


def test_without_validation_the_hybrid_is_untuned_and_says_so(dataset, encoder, retriever_of):
    alone = replace(dataset, splits={"test": dataset.splits["test"]})
    details = retriever_of(alone).encoder(encoder)["hybrid"].details
    assert details == {"lexical_weight": 0.5, "normalisation": "minmax", "tuned_on": None}
    assert retriever_of(dataset, split="validation").encoder(encoder)["hybrid"].details["tuned_on"] is None
    assert retriever_of(dataset, hybrid_weights=[0.3]).encoder(encoder)["hybrid"].details["lexical_weight"] == 0.3


@pytest.mark.parametrize("weights", [[0.0], [0.3], [1.0], [0.0, 0.5, 1.0]])
def test_a_hybrid_that_stops_early_is_the_whole_one_cut_and_counts_what_it_scored(
    dataset, encoder, retriever_of, weights
):
    settings = {"hybrid_weights": weights, "hybrid_normalisation": "raw", "measures": ["mrr@2"]}
    whole = retriever_of(dataset, **settings).encoder(encoder)["hybrid"]
    early = retriever_of(dataset, **settings, hybrid_depth=2).encoder(encoder)["hybrid"]
    candidates = 0
    for query, _ in QUERIES:
        assert early.run.ranking(query) == whole.run.ranking(query)[:2]
        assert early.run.scores(query).tolist() == whole.run.scores(query)[:2].tolist()
        candidates += len(whole.run.ranking(query))
    counts = {"depth": 2, "dense_scored": early.details["dense_scored"], "candidates": candidates}
    assert early.details == whole.details | counts
    assert 0 < early.details["dense_scored"] <= candidates
    assert early.scores.means() == whole.scores.means()


def test_a_hybrid_that_stops_early_knows_of_self_hits(encoder, retriever_of):
    queries = [("d2", "Copy a file and its permission bits.")]
    own = Dataset("own", {"test": split("test", queries, {"d2": {"d6": 1}})}, 1, True, "fingerprint", {})
    settings = {"hybrid_weights": [0.5], "hybrid_normalisation": "raw", "measures": ["mrr@1"], "k": 3}
    whole = retriever_of(own, **settings).encoder(encoder)["hybrid"].run.ranking("d2")
    early = retriever_of(own, **settings, hybrid_depth=1).encoder(encoder)["hybrid"].run.ranking("d2")
    assert early == whole[:1]
    assert early != ["d2"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hybrid_normalisation": "minmax"}, "goes with hybrid_normalisation=raw alone: minmax needs the dense scores"),
        ({"hybrid_depth": 7}, "hybrid_depth=7 exceeds the 6 results that are re-ranked"),
        ({"hybrid_depth": 4, "k": 3, "measures": ["mrr@1"]}, "hybrid_depth=4 exceeds the 3 results"),
        ({"hybrid_depth": 0}, "hybrid_depth=0 must be a whole number of at least 1"),
        ({"hybrid_depth": 2.5}, "hybrid_depth=2.5 must be a whole number"),
        ({"hybrid_depth": True}, "hybrid_depth=True must be a whole number"),
        ({"hybrid_depth": "ten"}, "hybrid_depth=ten must be a whole number"),
        (
            {"measures": ["mrr@2", "recall@3"]},
            "recall@3 looks at 3 results, and hybrid_depth=2 keeps fewer; set hybrid_d",
        ),
        (
            {"measures": ["recall@100"]},
            "recall@100 looks at 6 results, and hybrid_depth=2 keeps fewer; set hybrid_depth=6",
        ),
        (
            {"measures": ["map"]},
            "map looks at 6 results, and hybrid_depth=2 keeps fewer; set hybrid_depth=6 or leave map",
        ),
    ],
)
def test_a_hybrid_depth_that_does_not_go_with_the_rest_is_refused(dataset, retriever_of, tmp_path, changed, sentence):
    settings = {"hybrid_normalisation": "raw", "hybrid_depth": 2, "measures": ["mrr@2"]} | changed
    with pytest.raises(UserError) as refused:
        retriever_of(dataset, **settings)
    assert sentence in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_hybrid_depth_of_all_results_goes_with_every_measure(dataset, retriever_of):
    retriever_of(dataset, hybrid_normalisation="raw", hybrid_depth=6, measures=["map", "recall@100"])


def measured(encoder, split, measures, dataset):
    """Measure with vectors that are never written."""
    documents = encode(encoder.document, split.documents.take(slice(None)), "document", SETTINGS)
    queries = encode(encoder.query, split.queries.take(slice(None)), "query", SETTINGS)
    return measure_retrieval(queries, documents, split, measures, dataset, SETTINGS.device)


def test_a_document_with_the_querys_id_is_removed_where_the_dataset_says_so(encoder, retriever_of):
    queries = [("d2", "Copy a file and its permission bits.")]
    kept = Dataset("own", {"test": split("test", queries, {"d2": {"d2": 1}})}, 1, False, "fingerprint", {})
    removed = replace(kept, remove_self_hits=True)
    rankings = {}
    for dataset in (kept, removed):
        retriever = retriever_of(dataset, k=3, measures=["mrr@3"])
        systems = retriever.bm25() | retriever.encoder(encoder)
        rankings[dataset.remove_self_hits] = {name: system.run.ranking("d2") for name, system in systems.items()}
    assert all(ranking[0] == "d2" for ranking in rankings[False].values())
    assert not any("d2" in ranking for ranking in rankings[True].values())
    assert rankings[True]["dense"][:2] == rankings[False]["dense"][1:]
    assert len(rankings[True]["dense"]) == 3
    assert measured(encoder, kept.split("test"), ["mrr@3"], kept) == {"mrr@3": 1.0}
    assert measured(encoder, kept.split("test"), ["mrr@3"], removed) == {"mrr@3": 0.0}


def test_excluded_documents_are_left_out_of_every_system(dataset, encoder, retriever_of):
    excluded = {"q1": dataset.split("test").documents.ids([0, 1, 2])}
    whole, found = {}, {}
    for kept, these in ((whole, {}), (found, excluded)):
        splits = {name: replace(split, excluded=these) for name, split in dataset.splits.items()}
        retriever = retriever_of(replace(dataset, splits=splits), k=3, measures=["mrr@3"])
        systems = retriever.bm25() | retriever.encoder(encoder)
        kept |= {name: system.run.ranking("q1") for name, system in systems.items()}
    assert not any(set(ranking) & set(excluded["q1"]) for ranking in found.values())
    assert set(whole["dense"]) & set(excluded["q1"])
    assert len(found["dense"]) == 3


def test_retrieval_in_memory_measures_what_the_retriever_measures(dataset, encoder, retriever_of, tmp_path):
    kept = retriever_of(dataset).encoder(encoder)["dense"].scores.means()
    before = sorted(tmp_path.rglob("*"))
    means = measured(encoder, dataset.split("test"), ["ndcg@10", "mrr@10"], dataset)
    assert means == pytest.approx(kept)
    assert sorted(tmp_path.rglob("*")) == before


def test_grades_below_relevant_from_count_only_in_graded_measures(dataset, encoder, retriever_of):
    graded = replace(dataset, relevant_from=2)
    found = retriever_of(graded, measures=["recall@6", "ndcg@6"]).encoder(encoder)["dense"].scores
    assert found.per_query["recall@6"].tolist() == [0.0, 1.0, 0.0]
    assert (found.per_query["ndcg@6"] > 0).all()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"k": 7}, "k is 7 but the corpus has only 6 documents"),
        ({"k": 0}, "k is 0"),
        ({"k": 2, "measures": ["recall@5"]}, "recall@5 looks deeper than the 2 results that are kept; set k=5"),
        ({"split": "dev"}, "The dataset small has no split 'dev'"),
        ({"measures": ["ndgc"]}, "ndgc is not a measure"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_work(dataset, retriever_of, tmp_path, changed, sentence):
    with pytest.raises(UserError) as refused:
        retriever_of(dataset, **changed)
    assert sentence in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_texts_that_were_cut_are_counted(encoder, retriever_of):
    """The tiny model reads 64 tokens, one a character; two of these documents are longer."""
    documents = Texts.from_pairs([("short", "a cat"), ("long", "a cat " * 20), ("longer", "a dog " * 30)])
    cut = Split("test", documents, Texts.from_pairs([("q", "cat")]), {"q": {"short": 1}}, {})
    retriever = retriever_of(Dataset("cut", {"test": cut}, 1, False, "fingerprint", {}))
    assert retriever.encoder(encoder)["dense"].details["truncated_documents"] == 2
    assert retriever.encoder(encoder)["dense"].details["truncated_documents"] == 2  # read from the table


def test_results_say_what_the_split_is(dataset, encoder, retriever_of):
    retriever = retriever_of(dataset)
    metrics = retriever.results(retriever.bm25() | retriever.encoder(encoder)).metrics({"steps": 0})
    assert (metrics["dataset"], metrics["split"], metrics["queries"], metrics["documents"]) == ("small", "test", 3, 6)
    assert list(metrics["systems"]) == ["bm25", "dense", "hybrid"]
    assert metrics["details"]["dense"] == {"index": "exact, torch on cpu", "precision": "float32"}
    assert metrics["training"] == {"steps": 0}


def test_figures_of_beirs_layout_are_those_of_beirs_own_evaluation(tmp_path, retriever_of):
    """It pops each query's own id from the results before it measures, so every rival moves up."""
    words = ["harbour", "lantern", "granite", "meadow", "violin", "copper", "thunder", "saffron"]
    texts = [f"{words[n]} {words[n]} {words[(n + 1) % 8]}" for n in range(8)]
    documents = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    documents += [{"_id": f"r{n}", "text": f"{word} in a longer sentence of its own"} for n, word in enumerate(words)]
    write_json_lines(tmp_path / "beir" / "corpus.jsonl", documents)
    write_json_lines(tmp_path / "beir" / "queries.jsonl", documents[:8])
    rows = "".join(f"d{n}\tr{n}\t1\n" for n in range(8))
    write_text(tmp_path / "beir" / "qrels" / "test.tsv", f"query-id\tcorpus-id\tscore\n{rows}")
    found = {}
    for setting in (None, False):
        opened = open_dataset(Beir(path=str(tmp_path / "beir"), remove_self_hits=setting), tmp_path)
        retriever = retriever_of(opened, k=3, measures=["mrr@3", "ndcg@3"])
        systems = retriever.bm25()
        found[setting] = systems["bm25"].scores.means()
        assert {len(ranking.documents) for _, ranking in systems["bm25"].run} == {3}
        assert retriever.results(systems).metrics({})["remove_self_hits"] is (setting is None)
    plain = retriever_of(opened, k=16, measures=["mrr@3"]).bm25()["bm25"].run
    popped = {query: [id_ for id_ in ranking.documents if id_ != query] for query, ranking in plain}
    expected = np.mean([1 / (popped[f"d{n}"].index(f"r{n}") + 1) for n in range(8)])
    assert found[None]["mrr@3"] == pytest.approx(expected)
    assert found[None]["mrr@3"] > found[False]["mrr@3"]


def test_judgements_that_reach_no_relevance_are_refused_before_anything_is_searched(dataset, retriever_of):
    with pytest.raises(UserError, match=r"The split test of small: the highest grade is 2 .* dataset\.relevant_from=3"):
        retriever_of(replace(dataset, relevant_from=3))


def test_a_validation_split_without_relevance_tunes_nothing(dataset, encoder, retriever_of):
    """Its grades are all 1; every weight would earn 0, and the first would win unsaid."""
    found = retriever_of(replace(dataset, relevant_from=2), measures=["mrr@10"]).encoder(encoder)["hybrid"].details
    assert (found["tuned_on"], found["lexical_weight"]) == (None, 0.5)


def test_queries_without_results_are_counted_for_datasets_too(dataset, retriever_of):
    foreign = split("test", [*QUERIES, ("q4", "zzz")], {**JUDGEMENTS, "q4": {"d1": 1}})
    found = retriever_of(replace(dataset, splits={"test": foreign})).bm25()["bm25"]
    assert found.run.ranking("q4") == []
    assert found.scores.without_results == 1
