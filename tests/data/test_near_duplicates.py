import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.near_duplicates import SIMILARITY, NearDuplicates

WORDS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=30)


def similarity(left, right):
    """Jaccard similarity of three-word shingles, as sets."""
    shingles = [
        {tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))} if len(words) >= 3 else {tuple(words)}
        for words in (left, right)
    ]
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


@given(WORDS)
def test_a_text_repeats_itself(words):
    texts = NearDuplicates()
    assert texts.add(words)
    assert not texts.add(words)


@given(WORDS, WORDS)
def test_nothing_is_dropped_below_the_similarity(left, right):
    texts = NearDuplicates()
    texts.add(left)
    if not texts.add(right):
        assert similarity(left, right) >= SIMILARITY


def test_near_duplicates_are_nearly_always_found():
    generator = np.random.Generator(np.random.PCG64(3))
    found = 0
    for _ in range(200):
        words = [f"w{n}" for n in generator.integers(0, 5000, 120)]
        changed = list(words)
        for place in generator.integers(0, 120, 2):
            changed[place] = "changed"
        assert similarity(words, changed) > 0.85
        texts = NearDuplicates()
        texts.add(words)
        found += not texts.add(changed)
    assert found >= 195


def test_the_order_of_words_counts():
    texts = NearDuplicates()
    assert texts.add(["the", "cat", "bit", "the", "dog", "and", "ran", "away"])
    assert texts.add(["away", "ran", "and", "dog", "the", "bit", "cat", "the"])
