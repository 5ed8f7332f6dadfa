"""The picture of a pre-training: its loss against what word frequencies alone would give, and how alike vectors became."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.evaluation.drawing import BLUE, INK, ORANGE, picture
from pipeline.training.curves_plot import draw_line, finish_steps
from pipeline.training.parts import Part


def plot_pretraining(parts: Sequence[Part], unigram_entropy: float, path: Path) -> None:
    """Draw losses and anisotropy against steps; PNG and SVG.

    Args:
        parts: Of the training, one of them.
        unigram_entropy: The loss of word frequencies on the held-out texts.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    with picture(path, (10, 4), "constrained") as figure:
        draw_pretraining(figure, parts, unigram_entropy)


def draw_pretraining(figure: Figure, parts: Sequence[Part], unigram_entropy: float) -> None:
    """Draw on a figure what `plot_pretraining` writes."""
    left, right = figure.subplots(1, 2)
    for key, colour, label in (("loss", ORANGE, "trained on"), ("held_out_loss", BLUE, "held out")):
        before = len(left.lines)
        draw_line(left, parts, key, colour)
        for line in left.lines[before:]:
            line.set_label(label)
    left.axhline(unigram_entropy, color=INK, linewidth=1, linestyle="--", label="word frequencies, held out")
    left.set_title("masked-LM loss, nats a token", loc="left", weight="bold")
    # Below the axes: within them it would lie on a curve sooner or later.
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False)
    draw_line(right, parts, "anisotropy", BLUE)
    right.set_title("mean pairwise cosine of held-out texts", loc="left", weight="bold")
    right.set_ylim(min(0.0, right.get_ylim()[0]), 1.02)
    for axes in (left, right):
        finish_steps(axes, parts)
