import numpy as np
import pytest

from pipeline.training.pretraining.masking import Masking

MASK, ORDINARY = 4, np.arange(10, 1000)
SPECIAL = [0, 2, 3, MASK]


def rows(count: int = 400, tokens: int = 102, pieces: float = 0.4, seed: int = 0):
    """Rows of [CLS] 100 tokens [SEP], where each token after the first goes on with a word at the given rate."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(10, 1000, (count, tokens))
    ids[:, 0], ids[:, -1] = 2, 3
    begins = generator.random(ids.shape) >= pieces
    begins[:, :2] = True
    return ids, begins, ~np.isin(ids, SPECIAL)


def test_fifteen_percent_of_ordinary_tokens_and_never_a_special_one():
    ids, begins, ordinary = rows()
    ordinary[:, 50] = False
    shown, chosen = Masking(0.15, False, MASK, ORDINARY)(ids, begins, ordinary, np.random.default_rng(1))
    assert (chosen.sum(axis=1) == round(0.15 * 99)).all()
    assert not chosen[~ordinary].any()
    assert (shown[~chosen] == ids[~chosen]).all()
    # Every place is as likely as any other: 400 rows, standard error 0.018 a place.
    assert np.abs(chosen[:, ordinary[0]].mean(axis=0) - 15 / 99).max() < 0.08


def test_of_the_chosen_80_percent_are_masks_10_another_token_10_themselves():
    ids, begins, ordinary = rows(2000)
    shown, chosen = Masking(0.15, False, MASK, ORDINARY)(ids, begins, ordinary, np.random.default_rng(1))
    seen, true = shown[chosen], ids[chosen]
    masked, kept = seen == MASK, seen == true
    # 30,000 draws: three standard errors are 0.007 and 0.005. One exchange in 990 gives the same token.
    assert masked.mean() == pytest.approx(0.8, abs=0.007)
    assert kept.mean() == pytest.approx(0.1 + 0.1 / 990, abs=0.006)
    assert set(seen[~masked & ~kept]) <= set(ORDINARY)
    assert len(set(seen[~masked & ~kept])) > 900


def naive_choice(begins, ordinary, share, generator):
    """The same choice, word by word with lists and sets."""
    words: list[list[int]] = []
    for place in range(len(begins)):
        if not ordinary[place]:
            continue
        goes_on = not begins[place] and words and words[-1][-1] == place - 1
        if goes_on:
            words[-1].append(place)
        else:
            words.append([place])
    budget = max(1, round(share * sum(map(len, words))))
    found: set[int] = set()
    for word in generator.permutation(len(words)):
        if len(found) + len(words[word]) <= budget:
            found |= set(words[word])
    return found


def test_whole_words_stay_whole_and_agree_with_a_naive_choice():
    ids, begins, ordinary = rows()
    ordinary[:, 40] = False  # a separator within the row: what follows is a new word, whatever `begins` says
    _, chosen = Masking(0.15, True, MASK, ORDINARY)(ids, begins, ordinary, np.random.default_rng(3))
    generator = np.random.default_rng(3)
    for row in range(len(ids)):
        assert set(np.flatnonzero(chosen[row])) == naive_choice(begins[row], ordinary[row], 0.15, generator)
    goes_on = ~begins[:, 1:] & ordinary[:, 1:] & ordinary[:, :-1]
    assert (chosen[:, 1:] == chosen[:, :-1])[goes_on].all()
    assert 0.13 < chosen[ordinary].mean() <= 0.152


def test_a_word_longer_than_the_share_is_chosen_all_the_same():
    ids, begins = np.full((1, 6), 20), np.array([[True, False, False, False, False, False]])
    _, chosen = Masking(0.15, True, MASK, ORDINARY)(ids, begins, np.ones((1, 6), bool), np.random.default_rng(0))
    assert chosen.all()


def test_a_row_without_ordinary_tokens_has_nothing_to_tell():
    ids = np.array([[2, 3]])
    shown, chosen = Masking(0.15, False, MASK, ORDINARY)(
        ids, np.ones_like(ids, bool), np.zeros_like(ids, bool), np.random.default_rng(0)
    )
    assert not chosen.any() and (shown == ids).all()
