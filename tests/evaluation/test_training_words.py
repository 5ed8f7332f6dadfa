"""What is said of a training that collapsed, nearly did, or ended below where it began."""

import pytest

from pipeline.evaluation.training_words import below_start_words, collapse_words, marks_of, training_lines
from pipeline.training.validation import below_start


@pytest.mark.parametrize(
    ("monitor", "start", "kept", "worse"),
    [
        ("ndcg@10", {"ndcg@10": 0.4}, {"ndcg@10": 0.3}, {"ndcg@10": [0.4, 0.3]}),
        ("ndcg@10", {"ndcg@10": 0.4}, {"ndcg@10": 0.4}, {}),
        ("kl", {"ndcg@10": 0.4, "kl": 90.0}, {"ndcg@10": 0.3, "kl": 80.0}, {"ndcg@10": [0.4, 0.3]}),
        ("kl", {"ndcg@10": 0.4, "kl": 90.0}, {"ndcg@10": 0.5, "kl": 95.0}, {"kl": [90.0, 95.0]}),
        ("kl", {"ndcg@10": 0.4, "kl": 90.0}, {"ndcg@10": 0.5}, {}),  # too many equal vectors for an estimate
    ],
)
def test_what_got_worse_is_named_and_less_divergence_is_better(monitor, start, kept, worse):
    assert below_start(start, kept, monitor) == worse


def test_a_training_that_ended_below_its_start_or_nearly_collapsed_says_so_in_marks_and_words():
    aligned = {"below_start": {"kl": [90.0, 95.5]}, "collapsed_steps": [], "nearly_collapsed_steps": [0, 50]}
    training = {
        "nearly_collapsed": True,
        "nearly_collapsed_at": 75,
        "nearly_collapsed_steps": [75],
        "nearly_collapsed_towers": {"document": "its vectors spread over 6.0 directions, and did over 254.0"},
        "below_start": {"ndcg@10": [0.4807, 0.0031]},
        "align": aligned,
    }
    assert marks_of(training) == {"nearly_collapsed": True, "below_start": True}
    assert training_lines(training) == [
        "The alignment ended below the weights that it began with, on validation: kl 90, then 95.5.",
        "The training nearly collapsed at step 75 (document tower: its vectors spread over 6.0 directions, and did over "
        "254.0).",
        "The training ended below the weights that it began with, on validation: ndcg@10 0.4807, then 0.0031.",
    ]
    assert collapse_words(training) == "nearly, from step 75"
    assert collapse_words({"align": aligned}) == "nearly, at step 50 of alignment, recovered"
    assert below_start_words({}) == ""
    assert training_lines({"stage": "zero_shot", "steps": 0}) == []
