"""Lists read as one give what their concatenation gives; sentences are cut, distinct and drawn by the seed."""

import numpy as np

from pipeline.data.joined import JoinedTexts, JoinedVectors
from pipeline.data.sentences import sentences_of
from pipeline.data.texts import Texts

PARTS = [["a0", "a1", "a2"], ["b0"], ["c0", "c1"]]


def test_joined_texts_are_their_concatenation():
    joined = JoinedTexts([Texts.from_pairs((text, text) for text in part) for part in PARTS])
    flat = [text for part in PARTS for text in part]
    positions = np.array([5, 0, 3, 3, 2, 4])
    assert len(joined) == 6
    assert joined.take(positions) == [flat[position] for position in positions]
    assert joined.take(np.array([], dtype=np.int64)) == []


def test_joined_vectors_are_their_concatenation():
    parts = [
        np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32) for seed, rows in enumerate((4, 1, 2))
    ]
    positions = np.array([6, 1, 4, 5, 0, 1])
    assert np.array_equal(JoinedVectors(parts)[positions], np.concatenate(parts)[positions])


def test_sentences_are_cut_distinct_and_long_enough():
    text = "The cat sat on  the mat. Yes! Did the dog see\nit there? No stop here\n\nThe cat sat on the mat."
    documents = Texts.from_pairs([("d0", text), ("d1", "The cat sat on the mat.")])
    sentences = sentences_of(documents, 10, seed=0)
    found = sentences.take(slice(None))
    assert sorted(found) == ["Did the dog see it there?", "The cat sat on the mat."]


def test_sentences_are_drawn_by_the_seed_and_no_more_than_asked_for():
    documents = Texts.from_pairs((f"d{i}", f"This is sentence number {i}. And this is other {i}.") for i in range(50))
    first, again, other = (sentences_of(documents, 20, seed).take(slice(None)) for seed in (0, 0, 1))
    assert len(first) == 20
    assert first == again
    assert set(first) != set(other)
