"""The diagnostics picture: every figure in its panel, both towers in their colours, collapses where they were."""

import struct

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.evaluation.drawing import BLUE, ORANGE
from pipeline.training.diagnostics_plot import BANDS, draw_diagnostics, plot_diagnostics
from pipeline.training.parts import Part
from pipeline.training.validation import KL_OF_COPIES

LOSSES = [{"step": step, "loss": 3.0 - step / 50, "below_chance": step / 50} for step in (10, 20, 30, 40)]
TITLES = [
    "mean pairwise cosine",
    "standard deviation by dimension",
    "effective rank",
    "uniformity",
    "loss below its chance level",
    "alignment",
    "KL divergence of the towers",
]


def validation(step, cosine=0.1, kl=5.0):
    row = {"step": step, "alignment": 1 - step / 100, "kl": kl}
    for tower, more in (("query", 0.0), ("document", 0.01)):
        figures = {"mean_cosine": cosine, "deviation": 0.2, "effective_rank": 30.0, "uniformity": -3.0}
        row |= {f"{tower}/{name}": value + more for name, value in figures.items()}
    return row


def drawn(*parts):
    """Draw, and give the panels by their titles, and the labels of the legend."""
    figure = Figure(figsize=(14.5, 6.6), layout="constrained")
    draw_diagnostics(figure, parts)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    (legend,) = [axes.get_legend() for axes in figure.axes if not axes.axison]
    return panels, [text.get_text() for text in legend.get_texts()]


def curves(axes):
    """Every line over steps by its colour; lines that go across the panel are none."""
    found = {}
    for line in axes.lines:
        if line.get_transform() == axes.transData:
            points = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
            found.setdefault(to_hex(line.get_color()), []).append(points)
    return found


def bands(axes):
    return [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in axes.patches
        if isinstance(patch, Rectangle) and to_hex(patch.get_facecolor()) in BANDS.values()
    ]


def limits(axes):
    return [
        line.get_ydata()[0] for line in axes.lines if line.get_transform() == axes.get_yaxis_transform(which="grid")
    ]


def test_every_figure_has_its_panel_and_both_towers_their_colours():
    rows = [validation(step) for step in (0, 20, 40)]
    panels, legend = drawn(Part("joint", LOSSES, rows))
    assert list(panels) == TITLES
    for title, name in zip(TITLES, ("mean_cosine", "deviation", "effective_rank", "uniformity"), strict=False):
        assert curves(panels[title]) == {
            colour: [[(row["step"], row[f"{tower}/{name}"]) for row in rows]]
            for tower, colour in (("query", BLUE), ("document", ORANGE))
        }
    for title, of, name in (
        (TITLES[4], LOSSES, "below_chance"),
        (TITLES[5], rows, "alignment"),
        (TITLES[6], rows, "kl"),
    ):
        assert list(curves(panels[title]).values()) == [[[(row["step"], row[name]) for row in of]]]
    assert limits(panels["mean pairwise cosine"]) == [0.98]
    assert limits(panels["effective rank"]) == [5.0]
    assert limits(panels["loss below its chance level"]) == [0.0]
    assert len({axes.get_xlim() for axes in panels.values()}) == 1
    assert legend == ["query tower", "document tower", "limit of collapse\n(cosine above 0.98, rank below 5)"]
    assert not any(bands(axes) for axes in panels.values())


def test_one_tower_has_no_divergence():
    rows = [{key: value for key, value in validation(step).items() if key != "kl"} for step in (0, 20)]
    panels, _ = drawn(Part("dpr", LOSSES, rows))
    assert list(panels) == TITLES[:-1]


def test_the_divergence_of_equal_towers_does_not_squeeze_the_others():
    panels, _ = drawn(Part("joint", LOSSES, [validation(0, kl=KL_OF_COPIES), validation(20), validation(40, kl=4.0)]))
    axes = panels["KL divergence of the towers"]
    assert list(curves(axes).values()) == [[[(20, 5.0), (40, 4.0)]]]
    assert axes.get_xlabel() == "step; −∞ (equal vectors) left out"


@pytest.mark.parametrize(
    ("cosines", "band", "words"),
    [
        ([0.1, 0.1, 0.99, 0.99], [(15, 30)], "collapsed from step 20"),
        ([0.1, 0.1, 0.1, 0.99], [(25, 30)], "collapsed from step 30"),
        ([0.1, 0.99, 0.99, 0.1], [(5, 25)], "collapsed at steps 10 to 20"),
        ([0.1, 0.99, 0.1, 0.99, 0.1], [(5, 15), (25, 35)], "collapsed at step 10, at step 30"),
        ([0.1, 0.1, 0.7, 0.7], [(15, 30)], "nearly collapsed from step 20"),
    ],
)
def test_collapsed_validations_are_marked_in_every_panel_and_said(cosines, band, words):
    rows = [validation(10 * place, cosine) for place, cosine in enumerate(cosines)]
    panels, legend = drawn(Part("joint", LOSSES, rows))
    assert all(bands(axes) == band for axes in panels.values())
    assert legend[-1] == words


def test_two_parts_are_drawn_one_after_the_other_with_a_line_between():
    first = Part("alignment", LOSSES, [validation(0), validation(40, 0.99)])
    second = Part("fine-tuning", [{"step": 60, "below_chance": 2.0}], [validation(40, 0.99), validation(60)], begins=40)
    panels, legend = drawn(first, second)
    cosine = panels["mean pairwise cosine"]
    assert curves(cosine)[BLUE] == [[(0, 0.1), (40, 0.99)], [(40, 0.99), (60, 0.1)]]
    for axes in panels.values():
        vertical = [line for line in axes.lines if line.get_transform() == axes.get_xaxis_transform(which="grid")]
        assert [line.get_xdata()[0] for line in vertical] == [40]
        assert bands(axes) == [(20, 50)]
    assert legend[-2:] == ["collapsed at step 40", "fine-tuning begins"]


def test_the_picture_is_written_twice_and_the_same_each_time(tmp_path):
    parts = [Part("dpr", LOSSES, [validation(0), validation(40)])]
    for name in ("one", "two"):
        plot_diagnostics(parts, tmp_path / name)
    assert struct.unpack(">II", (tmp_path / "one.png").read_bytes()[16:24]) == (2175, 990)
    assert "Diagnostics of the training" in (tmp_path / "one.svg").read_text()
    for ending in ("png", "svg"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_what_was_not_recorded_is_said():
    panels, _ = drawn(Part("dpr", [{"step": 10, "loss": 2.0}], [{"step": 0, "ndcg@10": 0.5}]))
    assert all("nothing recorded" in [text.get_text() for text in axes.texts] for axes in panels.values())
