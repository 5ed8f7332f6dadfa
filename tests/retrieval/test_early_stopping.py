"""Early stopping finds what full re-ranking finds, to the bit, and scores what a naive reading of the rule scores."""

import numpy as np
import pytest

from pipeline.retrieval import early_stopping
from pipeline.retrieval.early_stopping import dense_bounds, rerank
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import dense_scores, interpolate
from pipeline.retrieval.table import Table

WEIGHTS = (0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 1.0)


def drawn(seed: int) -> tuple[Hits, Table, np.ndarray]:
    """Lexical results of some queries: ties, negative scores, equal vectors, and fewer results than columns."""
    generator = np.random.default_rng(seed)
    documents, count, width = (
        int(generator.integers(1, 80)),
        int(generator.integers(1, 9)),
        int(generator.integers(1, 60)),
    )
    dimension = int(generator.integers(1, 40))
    coarse = seed % 2 == 0
    vectors, queries = (
        (
            generator.integers(-2, 3, (rows, dimension)) if coarse else generator.standard_normal((rows, dimension))
        ).astype(np.float32)
        for rows in (documents, count)
    )
    if seed % 3 == 0:  # every candidate reaches the bound: nothing but rounding tells them apart
        vectors[:] = vectors[0]
        queries[:] = vectors[0]
    positions = np.full((count, width), -1)
    scores = np.full((count, width), -np.inf, np.float32)
    for row in range(count):
        found = int(generator.integers(0, min(width, documents) + 1))
        positions[row, :found] = generator.permutation(documents)[:found]
        drawn_scores = generator.integers(-6, 7, found) if coarse else 8 * generator.standard_normal(found)
        scores[row, :found] = -np.sort(-drawn_scores)
    return Hits(positions, scores), Table.from_array(vectors), queries


def full(lexical: Hits, table: Table, queries: np.ndarray, weight: float, depth: int) -> Hits:
    return interpolate(lexical, dense_scores(table.vectors, queries, lexical.positions), weight, "raw").cut(depth)


def same(one: Hits, other: Hits) -> bool:
    return np.array_equal(one.positions, other.positions) and one.scores.tobytes() == other.scores.tobytes()


@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_the_best_are_those_of_full_reranking_to_the_bit(at_once):
    for seed in range(150):
        lexical, table, queries = drawn(seed)
        for weight in WEIGHTS:
            for depth in (1, 2, 5, 10, 100):
                found = rerank(lexical, table, queries, weight, depth, at_once)
                assert same(found.hits, full(lexical, table, queries, weight, depth)), (seed, weight, depth)
                assert found.scored <= found.candidates == (lexical.positions >= 0).sum()


def naive_count(lexical: Hits, table: Table, queries: np.ndarray, weight: float, depth: int) -> int:
    """Look at one candidate after the other, and stop at the first that could not enter."""
    scored = 0
    dense, bounds = dense_scores(table.vectors, queries, lexical.positions), dense_bounds(table, queries)
    for row, positions in enumerate(lexical.positions):
        best: list[float] = []
        for place, position in enumerate(positions):
            ceiling = np.float32(weight * float(lexical.scores[row, place]) + (1 - weight) * bounds[row])
            if position < 0 or (len(best) >= depth and ceiling < sorted(best)[-depth]):
                break
            scored += 1
            score = weight * float(lexical.scores[row, place]) + (1 - weight) * float(dense[row, place])
            best.append(float(np.float32(score)))
    return scored


def test_one_candidate_at_a_time_scores_what_the_naive_rule_scores_and_more_at_once_little_more():
    for seed in range(80):
        lexical, table, queries = drawn(seed)
        for weight, depth in ((0.0, 3), (0.1, 1), (0.3, 4), (0.9, 2), (1.0, 3)):
            naive = naive_count(lexical, table, queries, weight, depth)
            assert rerank(lexical, table, queries, weight, depth, 1).scored == naive, (seed, weight, depth)
            blocks = rerank(lexical, table, queries, weight, depth, 4).scored
            assert naive <= blocks <= naive + 3 * len(lexical)


def far_apart(count: int, candidates: int) -> tuple[Hits, Table, np.ndarray]:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((500, 16))
    table = Table.from_array(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    positions = np.stack([generator.permutation(500)[:candidates] for _ in range(count)])
    scores = -np.sort(-generator.uniform(0, 30, (count, candidates)).astype(np.float32))
    return Hits(positions, scores), table, np.array(table.vectors[:count])


def test_without_lexical_weight_nothing_stops_and_with_it_alone_at_the_depth():
    lexical, table, queries = far_apart(20, 100)
    assert rerank(lexical, table, queries, 0.0, 5, 1).scored == 20 * 100
    assert rerank(lexical, table, queries, 1.0, 5, 1).scored == 20 * 5
    assert rerank(lexical, table, queries, 0.5, 5, 1).scored < 20 * 30


def test_a_tie_with_the_last_of_the_best_is_looked_at():
    """The second candidate can only equal the first, and wins by its position."""
    table = Table.from_array(np.ones((3, 1)))
    lexical = Hits(np.array([[2, 1, 0]]), np.array([[1.0, 1.0, 1.0]], np.float32))
    found = rerank(lexical, table, np.zeros((1, 1), np.float32), 1.0, 1, 1)
    assert found.hits.positions.tolist() == [[0]]
    assert found.scored == 3


def test_no_score_exceeds_its_bound_though_both_are_rounded():
    generator = np.random.default_rng(0)
    for dimension in (1, 7, 384, 1024):
        vectors = generator.standard_normal((200, dimension)).astype(np.float32)
        for scale in (1.0, 1e-12, 1e-22):
            table = Table.from_array(vectors * np.float32(scale))
            # A vector against itself: nothing but rounding lies between the score and the bound.
            own = [np.vecdot(vector, table.vectors).max() for vector in table.vectors]
            assert (np.array(own, np.float64) <= dense_bounds(table, table.vectors)).all()


def test_vectors_that_are_long_are_known_by_their_length_in_any_block(monkeypatch):
    monkeypatch.setattr("pipeline.retrieval.table.ROWS_AT_ONCE", 3)
    vectors = np.zeros((8, 2), np.float32)
    vectors[6] = (3, 4)
    assert Table.from_array(vectors).largest_norm == 5.0


def test_queries_are_taken_in_portions(monkeypatch):
    lexical, table, queries = far_apart(20, 100)
    whole = rerank(lexical, table, queries, 0.5, 5)
    monkeypatch.setattr(early_stopping, "QUERIES_AT_ONCE", 3)
    portions = rerank(lexical, table, queries, 0.5, 5)
    assert same(whole.hits, portions.hits)
    assert (whole.scored, whole.candidates) == (portions.scored, portions.candidates)


def test_a_score_has_the_same_bits_whatever_is_scored_beside_it():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((50, 37)).astype(np.float32)
    positions = generator.permutation(50)[None]
    together = dense_scores(vectors, vectors[:1], positions)
    alone = [dense_scores(vectors, vectors[:1], positions[:, place : place + 1])[0, 0] for place in range(50)]
    assert together[0].tolist() == alone
