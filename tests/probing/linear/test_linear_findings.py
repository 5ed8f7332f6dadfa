"""What may be said of what was found: no more than it shows."""

import pytest

from pipeline.evaluation.statistics import Interval
from pipeline.probing.linear.findings import use_of_question


@pytest.mark.parametrize(
    ("interval", "questions", "verdict"),
    [
        (Interval(0.3, 0.2, 0.4), 100, "uses the question"),
        (Interval(0.25, 0.0, 0.5), 12, "is not shown to use the question"),
        (Interval(0.0, 0.0, 0.0), 12, "is not shown to use the question"),  # too few to have seen a small loss
        (Interval(-0.1, -0.2, 0.01), 1000, "is not shown to use the question"),
        (Interval(0.001, -0.004, 0.006), 1000, "is blind to the question: it can only read"),
    ],
)
def test_a_probe_is_called_blind_only_where_that_was_shown(interval, questions, verdict):
    assert use_of_question(interval, questions, can=True).startswith(verdict)


def test_concat_is_blind_whatever_chance_says():
    assert "by construction" in use_of_question(Interval(0.1, 0.05, 0.2), 100, can=False)
