"""The picture of a training's loss and measure: one part or several on one axis of steps, and which step was best."""

import csv

import pytest
from matplotlib.figure import Figure

from pipeline.training.curves_plot import draw_curves, plot_curves
from pipeline.training.parts import Part, parts_of, write_curves
from pipeline.training.validation import KL_OF_COPIES

LOSSES = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}]
VALIDATIONS = [{"step": 0, "map@100": 0.2, "kl": 9.0}, {"step": 20, "map@100": 0.4, "kl": 3.0}]
DAFT = {
    "stage": "daft",
    "steps": 40,
    "curves": {
        "loss": [{"step": 20, "loss": 0.8}, {"step": 40, "loss": 0.5}],
        "validation": [{"step": 0, "map@100": 0.4}, {"step": 20, "map@100": 0.39}, {"step": 40, "map@100": 0.35}],
    },
    "align": {"stage": "align", "steps": 20, "curves": {"loss": LOSSES, "validation": VALIDATIONS}},
}


def drawn(parts, monitor):
    figure = Figure()
    draw_curves(figure, parts, monitor)
    return figure.axes


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_curves_tell_the_best_step_in_words_and_with_a_ring(tmp_path):
    parts = [Part("dpr", LOSSES, [*VALIDATIONS, {"step": 30, "map@100": 0.3}])]
    left, right = drawn(parts, "map@100")
    assert points(left.lines[0]) == [(10, 2.0), (20, 1.0)]
    assert [points(line) for line in right.lines] == [[(0, 0.2), (20, 0.4), (30, 0.3)], [(20, 0.4)]]
    plot_curves(parts, "map@100", tmp_path / "curves")
    assert "map@100 on validation, best 0.400 at step 20" in (tmp_path / "curves.svg").read_text()
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_of_divergences_the_lowest_is_best():
    title = drawn([Part("align", LOSSES, [*VALIDATIONS, {"step": 30, "kl": 5.0}])], "kl")[1].get_title(loc="left")
    assert title == "kl on validation, best 3.000 at step 20"


def test_the_divergence_of_equal_towers_is_not_drawn_but_said():
    copies = [{"step": 0, "kl": KL_OF_COPIES}, {"step": 20, "kl": 3.0}, {"step": 30, "kl": 4.0}]
    right = drawn([Part("align", LOSSES, copies)], "kl")[1]
    assert [points(line) for line in right.lines] == [[(20, 3.0), (30, 4.0)], [(20, 3.0)]]
    assert right.get_title(loc="left") == "kl on validation, best 3.000 at step 20"
    assert right.get_xlabel() == "step; −∞ (equal vectors) left out"


def test_two_parts_are_drawn_one_after_the_other_with_a_line_between():
    """The first part's last measure is the best of all; but the weights are of the second, after steps of its own."""
    left, right = drawn(parts_of(DAFT), "map@100")
    loss = [[(10, 2.0), (20, 1.0)], [(40, 0.8), (60, 0.5)]]
    assert [points(line) for line in left.lines[:2]] == loss
    measure = [[(0, 0.2), (20, 0.4)], [(20, 0.4), (40, 0.39), (60, 0.35)]]
    assert [points(line) for line in right.lines[:2]] == measure
    for axes in (left, right):
        assert axes.lines[-1].get_xdata() == [20, 20]  # the vertical line
        assert axes.get_xlabel() == "step; fine-tuning begins at 20"
    assert right.get_title(loc="left") == "map@100 on validation, best 0.390 at step 40"


@pytest.mark.parametrize("parts", [[Part("dpr", [], [])], [Part("dpr", LOSSES, [])]])
def test_curves_without_validation_say_so(parts):
    assert [text.get_text() for text in drawn(parts, "ndcg@10")[1].texts] == ["nothing recorded"]


def test_a_run_without_training_has_no_parts():
    assert parts_of({"stage": "zero_shot", "steps": 0}) == []


def test_the_curves_file_holds_all_parts_and_names_them_where_there_are_two(tmp_path):
    for name, trained in (("one", DAFT["align"]), ("two", DAFT)):
        write_curves(parts_of(trained), tmp_path / f"{name}.csv")
    with open(tmp_path / "one.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "10", "20", "20"]
    assert "part" not in rows[0]
    with open(tmp_path / "two.csv", newline="") as file:
        rows = [(row["part"], row["step"], row["loss"], row["map@100"]) for row in csv.DictReader(file)]
    assert rows[:2] == [("alignment", "0", "", "0.2"), ("alignment", "10", "2.0", "")]
    assert rows[4:6] == [("fine-tuning", "20", "", "0.4"), ("fine-tuning", "40", "0.8", "")]
