"""Interpolation against a naive definition in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import dense_scores, interpolate, tune_weight


def naive(lexical, dense, weight, normalisation):
    """One query's documents, best first, with their scores."""

    def scaled(scores):
        if normalisation == "raw" or not scores:
            return scores
        spread = max(scores) - min(scores)
        return [(score - min(scores)) / spread if spread else 0.0 for score in scores]

    documents = list(lexical)
    pairs = zip(scaled([lexical[d] for d in documents]), scaled([dense[d] for d in documents]), strict=True)
    combined = {d: np.float32(weight * a + (1 - weight) * b) for d, (a, b) in zip(documents, pairs, strict=True)}
    return sorted(combined.items(), key=lambda item: (-item[1], item[0]))


SCORES = st.integers(-20, 20).map(lambda number: number / 4)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.integers(0, 9), st.tuples(SCORES, SCORES), max_size=6), min_size=1, max_size=4),
    weight=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    normalisation=st.sampled_from(["minmax", "raw"]),
)
def test_interpolation_is_its_definition(rows, weight, normalisation):
    width = max(1, *(len(row) for row in rows))
    positions = np.full((len(rows), width), -1)
    lexical, dense = np.full((2, len(rows), width), -np.inf, np.float32)
    for place, row in enumerate(rows):
        positions[place, : len(row)] = list(row)
        lexical[place, : len(row)] = [scores[0] for scores in row.values()]
        dense[place, : len(row)] = [scores[1] for scores in row.values()]
    hits = interpolate(Hits(positions, lexical), dense, weight, normalisation)
    for place, row in enumerate(rows):
        expected = naive({d: s[0] for d, s in row.items()}, {d: s[1] for d, s in row.items()}, weight, normalisation)
        assert hits.positions[place, : len(row)].tolist() == [document for document, _ in expected]
        assert hits.scores[place, : len(row)].tolist() == [score for _, score in expected]
        assert (hits.positions[place, len(row) :] == -1).all()


def test_dense_scores_are_looked_up():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((300, 16)).astype(np.float32)
    queries = generator.standard_normal((5, 16)).astype(np.float32)
    positions = generator.integers(-1, 300, (5, 40))
    expected = np.einsum("qd,qkd->qk", queries.astype(np.float64), vectors[positions].astype(np.float64))
    expected[positions < 0] = -np.inf
    scores = dense_scores(vectors, queries, positions)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_the_weight_that_measures_best_is_chosen_and_smaller_on_a_tie():
    lexical = Hits(np.array([[0, 1]]), np.array([[2.0, 1.0]], np.float32))
    dense = np.array([[0.0, 1.0]], np.float32)

    def first_is_one(hits):
        return float(hits.positions[0, 0] == 1)

    weight, tried = tune_weight(lexical, dense, [1.0, 0.3, 0.0, 0.7], first_is_one)
    assert weight == 0.0
    assert tried == {0.0: 1.0, 0.3: 1.0, 0.7: 0.0, 1.0: 0.0}
    weight, _ = tune_weight(lexical, dense, [0.0, 1.0, 0.7], lambda hits: -first_is_one(hits))
    assert weight == 0.7


def test_values_that_cannot_be_meant_are_refused():
    hits = Hits(np.array([[0]]), np.array([[1.0]], np.float32))
    with pytest.raises(UserError, match=r"hybrid weight is 1\.5"):
        interpolate(hits, hits.scores, 1.5)
    with pytest.raises(UserError, match="hybrid_normalisation=z-score is unknown"):
        interpolate(hits, hits.scores, 0.5, "z-score")
    with pytest.raises(UserError, match="no hybrid weight to try"):
        tune_weight(hits, hits.scores, [], lambda hits: 0.0)
