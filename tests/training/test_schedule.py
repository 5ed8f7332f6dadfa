"""The learning rate by step."""

import pytest

from pipeline.errors import UserError
from pipeline.training.schedule import Schedule


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_warm_up_and_decay(decay, expected):
    schedule = Schedule(1.0, 2, decay, 6)
    assert [schedule.at(step) for step in range(6)] == pytest.approx(expected, abs=1e-6)


def test_without_warm_up_the_first_step_has_the_peak():
    assert Schedule(0.1, 0, "linear", 10).at(0) == 0.1


@pytest.mark.parametrize(
    ("peak", "warmup", "decay"), [(0.0, 1, "linear"), (-1, 1, "linear"), (1, -1, "linear"), (1, 1, "lin")]
)
def test_impossible_values_are_refused(peak, warmup, decay):
    with pytest.raises(UserError, match="stage"):
        Schedule(peak, warmup, decay, 10)
