"""Whether facts came back is said only of models that had lost them."""

import pytest

from pipeline.probing.intervention.relearning_report import BEFORE, FINE_TUNED, relearning_outcome


def rows(change: float, p_corrected: float) -> list[dict]:
    shared = {"selection": "erased", "measure": "ndcg@10", "queries": 9, "clusters": 9, "before": 0.8}
    figures = {"after": 0.8 + change, "change": change, "low": change - 0.1, "high": change + 0.1}
    tests = {"p_value": p_corrected, "p_corrected": p_corrected}
    return [{**shared, "group": group, **figures, **tests} for group in ("affected", "control")]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((-0.4, 0.01), (-0.3, 0.02), "is still less retrievable"),
        ((-0.4, 0.01), (-0.1, 0.50), "is not shown to be less retrievable"),
        ((-0.1, 0.50), (-0.3, 0.02), "was not shown to have lost the facts"),
        ((0.3, 0.01), (-0.3, 0.02), "was not shown to have lost the facts"),
    ],
)
def test_the_verdict_follows_from_both_times(before, after, words):
    outcome = relearning_outcome({BEFORE: rows(*before), FINE_TUNED: rows(*after)}, ["ndcg@10"], "unedited", "It ran.")
    assert sum(words in finding for finding in outcome.findings) == 1
    assert outcome.findings[-1] == "It ran."


def test_without_the_twins_before_there_is_no_verdict():
    outcome = relearning_outcome({FINE_TUNED: rows(-0.3, 0.01)}, ["ndcg@10"], "unedited", "It ran.")
    assert len(outcome.findings) == 3
    assert outcome.findings[1].startswith("Each model was trained once")
