"""Hits: their order, their padding, and dropping a query's own document."""

import numpy as np
import pytest

from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits, reach, require_depth

NONE = -np.inf


def test_ordered_puts_better_then_earlier_then_missing():
    hits = Hits.ordered(np.array([[7, -1, 3, 5]]), np.array([[0.5, 99.0, 0.5, -2.0]]))
    np.testing.assert_array_equal(hits.positions, [[3, 7, 5, -1]])
    np.testing.assert_array_equal(hits.scores, np.array([[0.5, 0.5, -2.0, NONE]], np.float32))


def test_padded_widens_with_missing_results():
    hits = Hits(np.array([[4]]), np.array([[1.0]], np.float32)).padded(3)
    np.testing.assert_array_equal(hits.positions, [[4, -1, -1]])
    np.testing.assert_array_equal(hits.scores, [[1.0, NONE, NONE]])


def test_self_hits_are_dropped_and_others_move_up():
    documents = Texts.from_pairs([("a", "x"), ("b", "y"), ("c", "z")])
    hits = Hits(
        np.array([[1, 0, 2], [2, 1, -1], [0, 1, 2]]), np.array([[3, 2, 1], [3, 2, NONE], [3, 2, 1]], np.float32)
    )
    kept = hits.without(documents.positions(["a", "unknown", "a"])[:, None], documents.empty)
    np.testing.assert_array_equal(kept.positions, [[1, 2, -1], [2, 1, -1], [1, 2, -1]])
    np.testing.assert_array_equal(kept.scores, np.array([[3, 1, NONE], [3, 2, NONE], [2, 1, NONE]], np.float32))


def test_several_documents_of_a_query_are_dropped_and_searched_beyond():
    unwanted = np.array([[0, 2, -1], [-1, -1, -1]])
    hits = Hits(np.array([[1, 0, 2], [2, 1, 0]]), np.array([[3, 2, 1], [3, 2, 1]], np.float32))
    documents = Texts.from_pairs((str(n), "text") for n in range(10))
    np.testing.assert_array_equal(hits.without(unwanted, documents.empty).positions, [[1, -1, -1], [2, 1, 0]])
    assert [reach(depth, unwanted, documents) for depth in (1, 9)] == [3, 10]
    assert reach(1, unwanted[1:], documents) == 1


def test_documents_without_text_are_no_results_and_searched_beyond():
    documents = Texts.from_pairs([("a", "x"), ("b", ""), ("c", "z"), ("d", "")])
    nobody = np.full((2, 1), -1)
    hits = Hits(np.array([[1, 0, 3], [2, 1, 0]]), np.array([[3, 2, 1], [3, 2, 1]], np.float32))
    np.testing.assert_array_equal(hits.without(nobody, documents.empty).positions, [[0, -1, -1], [2, 0, -1]])
    assert [reach(depth, nobody, documents) for depth in (1, 3)] == [3, 4]
    np.testing.assert_array_equal(documents.select(np.array([3, 0])).empty, [0])


def test_a_depth_beyond_the_corpus_is_refused():
    require_depth(10, 10)
    with pytest.raises(UserError, match="k is 11 but the corpus has only 10 documents"):
        require_depth(11, 10)
    with pytest.raises(UserError, match="at least 1"):
        require_depth(0, 10)
