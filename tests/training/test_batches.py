"""Batches are a pure function of seed and step; what does not count as a negative is masked."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.examples import labelled
from pipeline.training.validation import narrowed


def dataset_of(queries: list[str], documents: list[str], judgements: dict[str, dict[str, int]], relevant_from: int = 1):
    split = Split(
        "train",
        Texts.from_pairs((f"d{place}", text) for place, text in enumerate(documents)),
        Texts.from_pairs((f"q{place}", text) for place, text in enumerate(queries)),
        judgements,
        {},
    )
    return Dataset("planted", {"train": split}, relevant_from, False, "", {}), split


def planted(count: int = 10):
    return dataset_of(
        [f"query {i}" for i in range(count)],
        [f"document {i}" for i in range(3 * count)],
        {f"q{i}": {f"d{i}": 1} for i in range(count)},
    )


def batches_of(dataset, split, size=4, seed=0, negatives=None, count=0):
    return ContrastiveBatches(labelled(dataset, split, negatives, count), size, seed)


def same(one, other) -> bool:
    return one.queries == other.queries and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("documents", "targets", "masked")
    )


def test_a_step_depends_on_seed_and_step_alone():
    dataset, split = planted()
    negatives = np.tile(np.arange(10, 30), (10, 1))
    make = lambda seed: batches_of(dataset, split, seed=seed, negatives=negatives, count=3)  # noqa: E731
    fresh, used = make(1), make(1)
    list(used.between(0, 9))
    assert same(fresh.at(7), used.at(7))
    assert not same(make(2).at(7), fresh.at(7))


def test_an_epoch_gives_every_query_once_and_the_next_another_order():
    dataset, split = planted(12)
    batches = batches_of(dataset, split)
    epochs = [[query for step in range(3 * e, 3 * e + 3) for query in batches.at(step).queries] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(f"query {i}" for i in range(12))
    assert epochs[0] != epochs[1]


def test_targets_point_at_the_positives():
    dataset, split = planted()
    batch = batches_of(dataset, split, negatives=np.tile(np.arange(10, 30), (10, 1)), count=2).at(3)
    assert batch.documents.shape == (12,)
    for query, target in zip(batch.queries, batch.targets, strict=True):
        assert split.documents.take([batch.documents[target]]) == [query.replace("query", "document")]


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_parts_of_the_ranks_make_the_batch_of_one_process(ranks):
    dataset, split = planted()
    negatives = np.tile(np.arange(10, 30), (10, 1))
    whole = batches_of(dataset, split, negatives=negatives, count=2).at(5)
    parts = [
        batches_of(dataset, split, negatives=negatives, count=2).between(0, 9, rank, ranks).at(5)
        for rank in range(ranks)
    ]
    assert [query for part in parts for query in part.queries] == whole.queries
    for name in ("documents", "targets", "masked"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def columns_masked(batch, query: str) -> set[int]:
    return set(np.flatnonzero(batch.masked[batch.queries.index(query)]))


def column_of(batch, position: int) -> int:
    return int(np.flatnonzero(batch.documents == position)[0])


def test_another_positive_of_the_query_is_masked():
    dataset, split = dataset_of(["a", "b"], ["x", "y", "z"], {"q0": {"d0": 1, "d1": 1}, "q1": {"d1": 1}})
    batches = batches_of(dataset, split, size=2)
    batch = next(batch for batch in map(batches.at, range(50)) if 0 in batch.documents)
    assert columns_masked(batch, "a") == {column_of(batch, 1)}
    assert columns_masked(batch, "b") == set()


def test_a_grade_below_relevant_is_a_negative():
    dataset, split = dataset_of(["a", "b"], ["x", "y"], {"q0": {"d0": 2, "d1": 1}, "q1": {"d1": 2}}, relevant_from=2)
    assert not batches_of(dataset, split, size=2).at(0).masked.any()


def test_what_is_no_result_of_a_query_is_no_negative_of_it():
    dataset, split = dataset_of(["a", "b", "c"], ["x", "y", "z"], {f"q{n}": {f"d{n}": 1} for n in range(3)})
    batch = batches_of(dataset, replace(split, excluded={"q0": ["d2"], "q1": ["d1"]}), size=3).at(0)
    assert columns_masked(batch, "a") == {column_of(batch, 2)}
    assert columns_masked(batch, "b") == columns_masked(batch, "c") == set()


def test_a_text_equal_to_the_positive_is_masked():
    dataset, split = dataset_of(["a", "b"], ["same", "same"], {"q0": {"d0": 1}, "q1": {"d1": 1}})
    batch = batches_of(dataset, split, size=2).at(0)
    assert batch.masked.sum() == 2
    assert not batch.masked[[0, 1], batch.targets].any()


def test_a_repeated_text_counts_once_as_a_negative():
    dataset, split = dataset_of(
        ["a", "b", "c"], ["same", "same", "other"], {"q0": {"d0": 1}, "q1": {"d1": 1}, "q2": {"d2": 1}}
    )
    batch = batches_of(dataset, split, size=3).at(0)
    assert len(columns_masked(batch, "c")) == 1


def test_the_positive_of_a_query_that_reads_the_same_is_masked():
    dataset, split = dataset_of(["a", "a", "b"], ["x", "y", "z"], {"q0": {"d0": 1}, "q1": {"d1": 1}, "q2": {"d2": 1}})
    batch = batches_of(dataset, split, size=3).at(0)
    twins = [row for row, query in enumerate(batch.queries) if query == "a"]
    assert batch.masked[twins[0], batch.targets[twins[1]]]
    assert batch.masked[twins[1], batch.targets[twins[0]]]
    assert batch.masked.sum() == 2


def test_too_few_candidates_are_filled_from_the_corpus():
    dataset, split = planted()
    batch = batches_of(dataset, split, negatives=np.full((10, 2), -1), count=2).at(0)
    assert (batch.documents >= 0).all()
    assert batch.documents.shape == (12,)


def test_a_batch_above_the_split_is_refused():
    dataset, split = planted(3)
    with pytest.raises(UserError, match="3 queries with a positive document, fewer than stage"):
        batches_of(dataset, split)


def test_a_batch_that_ranks_cannot_share_is_refused():
    dataset, split = planted()
    with pytest.raises(UserError, match="cannot be divided among 8 processes"):
        batches_of(dataset, split).between(0, 1, 0, 8)


def test_a_narrowed_split_keeps_every_judged_document():
    _, split = planted(50)
    small = narrowed(split, queries=7, documents=20, seed=3)
    assert len(small.queries) == 7
    assert len(small.documents) == 27
    assert list(small.judgements) == small.queries.ids()
    assert (small.documents.positions(d for grades in small.judgements.values() for d in grades) >= 0).all()
    assert narrowed(split, 7, 20, 3).documents.fingerprint == small.documents.fingerprint
    assert len(narrowed(split, 500, 500, 3).documents) == 150
