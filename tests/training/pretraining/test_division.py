import numpy as np
import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.pretraining.texts import divide

SETTINGS = {
    "name": "mlm",
    "batch_size": 8,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "warmup_steps": 2,
    "decay": "linear",
    "dropout": 0.0,
    "whole_words": False,
    "mask_share": 0.15,
    "split": "train",
    "held_out_share": 0.1,
    "held_out_split": None,
    "held_out_texts": 1000,
    "validate_every": 10,
    "checkpoint_every": 10,
}


def stage(**settings) -> MaskedLanguageModelling:
    return MaskedLanguageModelling(**{**SETTINGS, **settings})


def dataset(**splits: list[str]) -> Dataset:
    empty = Texts.from_pairs([])
    made = {
        name: Split(name, Texts.from_pairs((str(n), text) for n, text in enumerate(texts)), empty, {}, {})
        for name, texts in splits.items()
    }
    return Dataset("corpus", made, 1, False, "fingerprint", {})


LINES = [f"text number {number}" for number in range(2000)]


def test_a_share_is_held_out_and_nothing_is_lost_or_on_both_sides():
    found = divide(dataset(train=LINES), stage(), " ")
    trained = found.trained.take(slice(None))
    # 2,000 draws at a tenth: three standard errors are 40.
    assert abs(len(found.held_out) - 200) < 40
    assert sorted(trained + found.held_out) == sorted(LINES)
    assert trained == [line for line in LINES if line in set(trained)]


def test_a_texts_side_depends_on_itself_alone():
    held_out = set(divide(dataset(train=LINES), stage(), " ").held_out)
    half = np.random.default_rng(0).permutation(LINES)[:1000].tolist()
    assert set(divide(dataset(train=half), stage(), " ").held_out) == held_out & set(half)
    assert set(divide(dataset(train=LINES), stage(held_out_share=0.2), " ").held_out) > held_out
    few = divide(dataset(train=LINES), stage(held_out_texts=20), " ")
    assert len(few.held_out) == 20 and set(few.held_out) < held_out
    # What is held out and not measured on is not trained on either.
    assert len(few.trained) == len(LINES) - len(held_out)


def test_another_split_may_be_held_out_without_what_is_trained_on():
    found = divide(dataset(train=LINES[:30], test=LINES[20:40]), stage(held_out_split="test", held_out_share=0), " ")
    assert len(found.trained) == 30
    assert set(found.held_out) == set(LINES[30:40])


@pytest.mark.parametrize(
    ("splits", "settings", "sentence"),
    [
        ({"train": LINES[:20]}, {}, r"Of the 20 texts of corpus, \d are held out, .* raise stage.held_out_share"),
        ({"train": LINES[:20], "test": LINES[:22]}, {"held_out_split": "test"}, "2 are held out, .* choose another"),
        ({"train": LINES[:8]}, {"held_out_share": 1 - 1e-12}, "No text of corpus is left to train on"),
        ({"train": LINES}, {"split": "pretraining"}, "has no split 'pretraining'"),
    ],
)
def test_too_few_texts_are_refused(splits, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        divide(dataset(**splits), stage(**settings), " ")


def test_texts_that_differ_in_white_space_or_case_alone_are_on_one_side():
    spelled = [f"  Text\tNUMBER {number}" for number in range(2000)]
    found = divide(dataset(train=[*LINES, *spelled]), stage(), " ")
    forms = [
        {" ".join(text.lower().split()) for text in side} for side in (found.held_out, found.trained.take(slice(None)))
    ]
    assert forms[0] and forms[0].isdisjoint(forms[1])
