"""Measures against trec_eval's published output and naive references in float64."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.trec_qrels import read_judgements
from pipeline.errors import UserError
from pipeline.evaluation.measures import QUERIES_AT_ONCE, Measure, measure, parse_measures, require_relevant
from pipeline.retrieval.trec import read_trec

AS_TREC_EVAL_CALLS_THEM = {
    "map": "map",
    "mrr": "recip_rank",
    "ndcg": "ndcg",
    "r-precision": "Rprec",
    "bpref": "bpref",
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in (5, 10, 100, 1000)},
    **{f"map@{k}": f"map_cut_{k}" for k in (10, 100, 1000)},
    **{f"recall@{k}": f"recall_{k}" for k in (5, 10, 100, 1000)},
    **{f"precision@{k}": f"P_{k}" for k in (5, 30, 1000)},
    **{f"hit_rate@{k}": f"success_{k}" for k in (1, 5, 10)},
}


@pytest.fixture(scope="module")
def trec_eval(shared_data):
    return shared_data / "trec_eval"


def test_every_query_has_the_figures_of_trec_eval(trec_eval):
    expected = {}
    for line in (trec_eval / "out.test.aq").read_text().splitlines():
        name, query, value = line.split("\t")
        expected[name.strip(), query.strip()] = value.strip()
    found = measure(
        read_trec(trec_eval / "results.test"),
        read_judgements(trec_eval / "qrels.test")[0],
        list(AS_TREC_EVAL_CALLS_THEM),
    )
    for ours, theirs in AS_TREC_EVAL_CALLS_THEM.items():
        for query, value in zip(found.query_ids, found.per_query[ours], strict=True):
            assert value == pytest.approx(float(expected[theirs, query]), abs=1e-4), (ours, query)
        assert found.means()[ours] == pytest.approx(float(expected[theirs, "all"]), abs=1e-4), ours


# --- naive references: one query, ids best first, grades by id


def gains(ranking, grades, cutoff):
    return [max(0, grades.get(document, 0)) for document in ranking[: cutoff or None]]


def naive_ndcg(ranking, grades, cutoff, _):
    def dcg(values):
        return sum(value / math.log2(place + 2) for place, value in enumerate(values))

    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[: cutoff or None]
    return dcg(gains(ranking, grades, cutoff)) / dcg(ideal) if ideal else 0.0


def hits(ranking, grades, cutoff, relevant_from):
    return [grades.get(document, -math.inf) >= relevant_from for document in ranking[: cutoff or None]]


def relevant(grades, relevant_from):
    return sum(grade >= relevant_from for grade in grades.values())


def naive_map(ranking, grades, cutoff, relevant_from):
    found = hits(ranking, grades, cutoff, relevant_from)
    total = relevant(grades, relevant_from)
    return (
        sum(sum(found[: place + 1]) / (place + 1) for place, hit in enumerate(found) if hit) / total if total else 0.0
    )


def naive_mrr(ranking, grades, cutoff, relevant_from):
    found = hits(ranking, grades, cutoff, relevant_from)
    return 1 / (found.index(True) + 1) if True in found else 0.0


def naive_recall(ranking, grades, cutoff, relevant_from):
    total = relevant(grades, relevant_from)
    return sum(hits(ranking, grades, cutoff, relevant_from)) / total if total else 0.0


def naive_precision(ranking, grades, cutoff, relevant_from):
    return sum(hits(ranking, grades, cutoff, relevant_from)) / cutoff


def naive_hit_rate(ranking, grades, cutoff, relevant_from):
    return float(any(hits(ranking, grades, cutoff, relevant_from)))


def naive_burges(ranking, grades, cutoff, _):
    def dcg(values):
        return sum((2**value - 1) / math.log2(place + 2) for place, value in enumerate(values))

    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[: cutoff or None]
    return dcg(gains(ranking, grades, cutoff)) / dcg(ideal) if ideal else 0.0


def naive_r_precision(ranking, grades, _, relevant_from):
    total = relevant(grades, relevant_from)
    return naive_precision(ranking, grades, total, relevant_from) if total else 0.0


def naive_bpref(ranking, grades, _, relevant_from):
    """trec_eval's loop, line by line: a grade below 0 is no judgement."""
    total, wanting, preferred = relevant(grades, relevant_from), 0, 0.0
    rejected = sum(0 <= grade < relevant_from for grade in grades.values())
    for document in ranking:
        grade = grades.get(document, -1)
        if 0 <= grade < relevant_from:
            wanting += 1
        elif grade >= relevant_from:
            preferred += 1 - min(wanting, total) / min(rejected, total) if wanting else 1
    return preferred / total if total else 0.0


NAIVE = {
    "ndcg": naive_ndcg,
    "ndcg_burges": naive_burges,
    "r-precision": naive_r_precision,
    "bpref": naive_bpref,
    "map": naive_map,
    "mrr": naive_mrr,
    "recall": naive_recall,
    "precision": naive_precision,
    "hit_rate": naive_hit_rate,
}
MEASURES = ["ndcg@3", "ndcg", "map", "map@2", "mrr", "mrr@2", "recall@3", "precision@4", "hit_rate@2"]
MEASURES += ["ndcg_burges", "ndcg_burges@2", "r-precision", "bpref"]
DOCUMENTS = st.sampled_from([f"d{number}" for number in range(8)])
GRADES = st.dictionaries(DOCUMENTS, st.integers(-1, 3), max_size=8)
# Few distinct scores, so that ties are common.
RESULTS = st.dictionaries(DOCUMENTS, st.sampled_from([-1.0, 0.0, 0.5, 2.0]), max_size=8)


@given(
    judgements=st.dictionaries(st.sampled_from("abcdef"), GRADES, min_size=1),
    results=st.dictionaries(st.sampled_from("abcdef"), RESULTS),
    relevant_from=st.integers(1, 3),
)
@settings(deadline=None, max_examples=150)
def test_measures_equal_naive_references(run_of, judgements, results, relevant_from):
    results = {next(iter(judgements)): {"d0": 1.0}, **results}
    found = measure(run_of(results), judgements, MEASURES, relevant_from)
    assert found.query_ids == list(judgements)
    for name in MEASURES:
        kind, _, cutoff = name.partition("@")
        for query, value in zip(found.query_ids, found.per_query[name], strict=True):
            scores = results.get(query, {})
            ranking = sorted(sorted(scores, reverse=True), key=lambda document: -scores[document])
            expected = NAIVE[kind](ranking, judgements[query], int(cutoff or 0), relevant_from)
            assert value == pytest.approx(expected, abs=1e-12), (name, query)


def test_a_judged_query_without_results_counts_zero_and_an_unjudged_one_nowhere(run_of):
    run = run_of({"q1": {"d1": 1.0}, "unjudged": {"d1": 1.0}})
    found = measure(run, {"q1": {"d1": 1}, "q2": {"d2": 1}}, ["mrr", "ndcg@10"])
    assert found.means() == {"mrr": 0.5, "ndcg@10": 0.5}
    assert (found.without_results, found.unjudged) == (1, 1)


def test_a_query_whose_ranking_is_empty_is_one_without_results(run_of):
    """A search that finds nothing leaves a ranking of length 0, a run file leaves none: both count alike."""
    found = measure(run_of({"q1": {"d1": 1.0}, "q2": {}}), {"q1": {"d1": 1}, "q2": {"d2": 1}}, ["mrr"])
    assert (found.without_results, found.unjudged) == (1, 0)


def test_bpref_on_a_worked_example(run_of):
    """Relevant d1 above all, relevant d4 below one of two rejected: (1 + (1 - 1/2)) / 3, d6 never found."""
    run = run_of({"q": {"d1": 5.0, "unjudged": 4.5, "d2": 4.0, "d3": 3.5, "d4": 3.0}})
    judgements = {"q": {"d1": 2, "d2": 0, "d3": -1, "d4": 1, "d5": 0, "d6": 1}}
    assert measure(run, judgements, ["bpref"]).means()["bpref"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("judgements", "measures", "relevant_from", "sentence"),
    [
        (
            {"q": {"d": 1}},
            ["ndcg@10", "map"],
            2,
            "the highest grade is 1 and map counts grades from 2.*lower relevant_",
        ),
        ({"q": {"d": -1}, "r": {"d": 0}}, ["ndcg@10"], 1, "the highest grade is 0 and ndcg@10 counts grades from 1"),
        ({"q": {"d": -2}}, ["bpref"], 1, "the highest grade is -2 and bpref counts grades from 1, so it would be 0"),
    ],
)
def test_judgements_under_which_all_is_zero_are_refused(judgements, measures, relevant_from, sentence):
    with pytest.raises(UserError, match=f"qrels.txt: {sentence}"):
        require_relevant(judgements, parse_measures(measures), relevant_from, "qrels.txt", "relevant_from")
    require_relevant(
        judgements | {"s": {"d": 2}}, parse_measures(measures), relevant_from, "qrels.txt", "relevant_from"
    )


def test_equal_scores_rank_the_larger_id_first(run_of):
    run = run_of({"q": {"d1": 1.0, "d3": 1.0, "d2": 1.0}})
    assert measure(run, {"q": {"d3": 1}}, ["mrr"]).means()["mrr"] == 1.0
    assert measure(run, {"q": {"d1": 1}}, ["mrr"]).means()["mrr"] == pytest.approx(1 / 3)


def test_grades_below_the_relevant_ones_count_in_graded_measures_only(run_of):
    run = run_of({"q": {"d1": 2.0, "d2": 1.0}})
    judgements = {"q": {"d1": 1, "d2": 2}}
    assert measure(run, judgements, ["mrr"], relevant_from=2).means()["mrr"] == 0.5
    ndcg = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert measure(run, judgements, ["ndcg@10"], relevant_from=2).means()["ndcg@10"] == pytest.approx(ndcg)


def test_many_queries_are_scored_in_blocks_in_their_order(run_of):
    count = QUERIES_AT_ONCE + 3
    results = {f"q{number}": {"hit": float(number % 2), "miss": 0.5} for number in range(count)}
    found = measure(run_of(results), {query: {"hit": 1} for query in results}, ["mrr@10"])
    assert found.per_query["mrr@10"].tolist() == [1.0 if number % 2 else 0.5 for number in range(count)]


def test_no_overlap_is_refused_with_ids_of_both(run_of):
    with pytest.raises(
        UserError, match=r"No query of the run mine was judged: it has queries such as a, .* such as 1, 2"
    ):
        measure(run_of({"a": {"d": 1.0}}), {"1": {"d": 1}, "2": {"d": 1}}, ["map"])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["ndgc@10"], "ndgc@10 is not a measure; did you mean ndcg"),
        (["accuracy"], "accuracy is not a measure; known are bpref"),
        (["ndcg@ten"], "ndcg@ten is not a measure: after @ stands a number"),
        (["ndcg@0"], "ndcg@0 is not a measure: after @ stands a number"),
        (["precision"], "precision is not a measure: it needs a number of results, as in precision@10"),
        (["r-precision@5"], "r-precision@5 is not a measure: r-precision takes no number"),
        (["map", "map"], "The measure map is asked for twice"),
        ([], "No measure is asked for"),
    ],
)
def test_measures_that_are_none_are_refused(run_of, names, sentence):
    with pytest.raises(UserError) as refused:
        measure(run_of({"q": {"d": 1.0}}), {"q": {"d": 1}}, names)
    assert sentence in str(refused.value)


def test_a_measure_knows_its_kind_and_cutoff():
    assert (Measure.parse("recall@100").cutoff, Measure.parse("recall@100").kind.function) == (100, "recall")
    assert Measure.parse("ndcg").cutoff == 0


def test_means_are_over_all_judged_queries(run_of):
    found = measure(run_of({"q1": {"d": 1.0}}), {f"q{number}": {"d": 1} for number in range(4)}, ["recall@10"])
    assert np.array_equal(found.per_query["recall@10"], [0, 1, 0, 0])
    assert found.means()["recall@10"] == 0.25
