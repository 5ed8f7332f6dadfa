"""Rows of the linear probe: drawn without overlap, counted when dropped, and as published where that is asked."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.probing.linear.rows import (
    divide,
    documents_seen,
    published_order,
    published_pools,
    published_rows,
    right_places,
    sound_rows,
)


def dataset_of(questions: int = 30, positives: int = 2) -> Dataset:
    """Question q has documents q*10 to q*10 + positives - 1 as its positives."""
    documents = Texts.from_pairs((f"d{number}", f"text {number}") for number in range(questions * 10))
    queries = Texts.from_pairs((f"q{number}", f"query {number}") for number in range(questions))
    judged = {f"q{q}": {f"d{q * 10 + place}": 1 for place in range(positives)} for q in range(questions)}
    split = Split("test", documents, queries, judged, {})
    return Dataset("made", {"test": split}, 1, False, "", {})


def negatives_of(questions: int = 30, count: int = 6) -> np.ndarray:
    return np.arange(questions)[:, None] * 10 + 3 + np.arange(count)


def test_a_row_is_a_question_a_positive_and_negatives_of_that_question():
    dataset = dataset_of()
    rows = sound_rows(dataset, dataset.split("test"), np.arange(5, 30), negatives_of(), (2, 5), seed=0)
    assert len(rows) == 50
    assert (rows.dropped, rows.first_dropped) == (0, None)
    questions = [int(name[1:]) for name in rows.query_texts.ids(rows.questions)]
    for question, documents in zip(questions, rows.documents, strict=True):
        numbers = [int(name[1:]) for name in rows.document_texts.ids(documents)]
        assert numbers[0] in (question * 10, question * 10 + 1)
        assert len(set(numbers[1:])) == 4
        assert set(numbers[1:]) <= set(range(question * 10 + 3, question * 10 + 9))
    assert len(rows.document_texts) == len(np.unique(rows.documents))  # only what is used
    assert {tuple(np.sort(order)) for order in rows.orders[5]} == {(0, 1, 2, 3, 4)}
    assert {tuple(np.sort(order)) for order in rows.orders[2]} == {(0, 1)}
    assert set(right_places(rows)[5]) == {0, 1, 2, 3, 4}


def test_rows_are_the_same_for_the_same_seed_alone():
    dataset = dataset_of()
    first, again, other = (
        sound_rows(dataset, dataset.split("test"), np.arange(30), negatives_of(), (2, 3), seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.documents, again.documents)
    assert np.array_equal(first.orders[3], again.orders[3])
    assert not np.array_equal(first.orders[3], other.orders[3])


def test_rows_without_enough_negatives_are_counted_and_the_first_is_named():
    dataset, negatives = dataset_of(), negatives_of()
    negatives[[4, 7], 3:] = -1
    rows = sound_rows(dataset, dataset.split("test"), np.arange(30), negatives, (2, 5), seed=0)
    assert (len(rows), rows.dropped, rows.first_dropped) == (56, 4, "q4")
    negatives[:, 3:] = -1
    with pytest.raises(UserError, match="all 60 rows lack the 4 negatives that they need, the first for query q0"):
        sound_rows(dataset, dataset.split("test"), np.arange(30), negatives, (2, 5), seed=0)
    with pytest.raises(UserError, match="no query has a relevant document"):
        none = dataset_of(positives=0)
        sound_rows(none, none.split("test"), np.arange(30), negatives, (2,), seed=0)


def test_published_rows_draw_with_replacement_and_skip_rows_without_any():
    dataset, negatives = dataset_of(), negatives_of()
    negatives[4, 2:] = -1
    negatives[7] = -1
    rows = published_rows(dataset, dataset.split("test"), np.arange(30), negatives, (2, 5), 42)
    assert (len(rows), rows.dropped, rows.first_dropped) == (58, 2, "q7")
    assert rows.documents.shape == (58, 5)
    assert len(set(rows.documents[8, 1:].tolist())) <= 2  # question 4
    again = published_rows(dataset, dataset.split("test"), np.arange(30), negatives, (2, 5), 42)
    assert np.array_equal(rows.documents, again.documents)


def test_published_pools_hold_all_negatives_of_a_question():
    dataset, negatives = dataset_of(), negatives_of()
    negatives[4, 2:] = -1
    negatives[7] = -1
    rows = published_pools(dataset, dataset.split("test"), np.arange(30), negatives)
    assert (len(rows), rows.dropped, rows.first_dropped) == (58, 2, "q7")
    assert rows.orders == {}
    assert rows.pool[:10].tolist() == [6] * 8 + [2] * 2
    ids = [int(name[1:]) for name in rows.document_texts.ids(rows.documents[8])]
    assert ids == [40, 43, 44, 40, 40, 40, 40]  # question 4: what fills a row up is never drawn


@pytest.mark.parametrize(
    ("rows", "candidates", "published"),
    [
        (54414, 2, {27257, 27157}),
        (54414, 3, {18260, 18069}),
        (54414, 4, {13578, 13359}),
        (54414, 5, {11045, 10745, 10786}),
        (10448, 2, {5204}),
        (10448, 3, {3453, 3442}),
        (10448, 4, {2609, 2556}),
        (10448, 5, {2079, 2159}),
    ],
)
def test_the_published_sampler_has_the_published_class_counts(rows, candidates, published):
    # Of a model read at [CLS], layer 0 says the same of all texts: its probe names one class, and is right so often.
    places = (published_order(rows, candidates, 42) == 0).argmax(axis=1)
    assert published <= set(np.bincount(places).tolist())


def test_no_question_is_on_two_sides():
    questions = np.repeat(np.arange(100), 3)
    parts = divide(questions, (0.6, 0.1, 0.3), seed=0)
    assert [len(part) for part in parts] == [180, 30, 90]
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    sides = [set(questions[part]) for part in parts]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert not np.array_equal(parts[2], divide(questions, (0.6, 0.1, 0.3), seed=1)[2])
    with pytest.raises(UserError, match="19 questions are too few to train, validate and test probes"):
        divide(np.arange(19), (0.6, 0.1, 0.3), seed=0)


def test_documents_are_seen_where_training_shows_all_of_a_row():
    dataset = dataset_of()
    rows = sound_rows(dataset, dataset.split("test"), np.arange(30), negatives_of(count=4), (2, 5), seed=0)
    one, other = np.arange(0, 60, 2), np.arange(1, 60, 2)  # the two positives of every question
    assert documents_seen(rows, 5, one, one) == 1
    assert documents_seen(rows, 5, one, other) == 0  # all negatives were seen, the other positive was not
    for n in (2, 5):
        known = {document for row in one for document in rows.documents[row, rows.orders[n][row]]}
        test = np.arange(20, 60)
        wanted = [all(document in known for document in rows.documents[row, rows.orders[n][row]]) for row in test]
        assert documents_seen(rows, n, one, test) == np.mean(wanted)


def test_questions_that_differ_in_white_space_or_case_alone_are_one_when_rows_are_divided():
    dataset = dataset_of()
    # Two spellings of each question: query 15 + n asks what query n does.
    spelled = (f"query {n}" if n < 15 else f" QUERY\t{n - 15}" for n in range(30))
    queries = Texts.from_pairs((f"q{n}", text) for n, text in enumerate(spelled))
    split = replace(dataset.split("test"), queries=queries)
    rows = sound_rows(dataset, split, np.arange(30), negatives_of(), (2,), seed=0)
    assert set(rows.distinct_questions) == set(range(15))
    assert np.array_equal(rows.distinct_questions, rows.questions % 15)
