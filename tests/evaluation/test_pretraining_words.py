"""What is said of a pre-training: its table, whether it learned, and a line in the table of a cell that it went before."""

import pytest
from rich.console import Console

from pipeline.evaluation.pretraining import pretraining_lines
from pipeline.evaluation.report import caption, print_metrics

RECORD = {
    "base": "minilm, pretrained",
    "texts": "wiki",
    "held_out_texts": 235,
    "masked_tokens": 2115,
    "steps": 80,
    "tokens": 163840,
    "new_head": False,
    "loss_before": 7.9663,
    "loss": 4.5,
    "unigram_entropy": 7.42,
    "gain": {"mean": 2.92, "low": 2.8, "high": 3.1},
    "learned": True,
    "accuracy_before": 0.04,
    "accuracy": 0.31,
    "anisotropy_before": 0.034,
    "anisotropy": 0.339,
}
ALONE = {"dataset": "wiki", "systems": {}, "measures": [], "details": {}, "training": {"pretraining": RECORD}}


def test_the_table_of_a_run_without_queries(capsys):
    print_metrics(ALONE, Console(width=200))
    said = capsys.readouterr().out
    assert "wiki, masked language modelling" in said
    for figures in (
        ("held-out loss", "7.966", "4.500"),
        ("word frequencies alone", "7.420"),
        ("cosine", "0.034", "0.339"),
    ):
        (line,) = [line for line in said.splitlines() if figures[0] in line]
        assert all(figure in line for figure in figures)
    assert "+2.920 [+2.800, +3.100] nats" in said and "clearly below" in said


@pytest.mark.parametrize(
    ("learned", "words"), [(True, "The loss is clearly below"), (False, "is not called pre-trained")]
)
def test_it_says_whether_something_was_learned(learned, words):
    assert words in pretraining_lines(RECORD | {"learned": learned})[1]


def test_a_new_head_on_given_weights_is_said():
    assert "head was new" in pretraining_lines(RECORD | {"new_head": True})[-1]
    assert len(pretraining_lines(RECORD | {"new_head": True, "base": "small_bert, random"})) == 2


def test_a_cell_says_what_went_before():
    cell = {
        **ALONE,
        "systems": {"dense": {"mrr@10": 0.5}},
        "queries": 10,
        "documents": 20,
        "relevant_from": 1,
        "remove_self_hits": False,
    }
    assert caption(cell)[1:] == pretraining_lines(RECORD)
