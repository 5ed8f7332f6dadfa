"""The picture of what a training does to the towers' vectors: spread, rank, alignment, divergence, and collapse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.evaluation.drawing import BLUE, INK, MUTED, ORANGE, picture
from pipeline.evaluation.training_words import MARKS
from pipeline.training.collapse import COLLAPSED, COSINE, NEARLY_COLLAPSED, RANK, fallen_towers, worst
from pipeline.training.curves_plot import BEGINNING, draw_line, finish_steps, left_out, mark_beginnings
from pipeline.training.parts import Part, Rows
from pipeline.training.validation import KL

BANDS = {COLLAPSED: "#fae0e0", NEARLY_COLLAPSED: "#fbf0d9"}
LIMIT: dict[str, Any] = {"color": MUTED, "linewidth": 1, "linestyle": (0, (5, 3))}
TOWERS = {"query": BLUE, "document": ORANGE}


@dataclass(frozen=True)
class Panel:
    """One small picture: one idea.

    Attributes:
        key: The figure's name in a row; where it has one for each tower, without the tower.
        title: What it is.
        meaning: How to read it, in a few words.
        limit: Where a collapse begins, or what a figure is compared with.
        from_zero: Whether the axis begins at 0, because 0 means something.
    """

    key: str
    title: str
    meaning: str
    limit: float | None = None
    from_zero: bool = False


BY_TOWER = (
    Panel("mean_cosine", "mean pairwise cosine", "1: every text gets one vector", COSINE, from_zero=True),
    Panel("deviation", "standard deviation by dimension", "0: every text gets one vector", from_zero=True),
    Panel("effective_rank", "effective rank", "directions that the vectors use", RANK, from_zero=True),
    Panel("uniformity", "uniformity", "lower: spread more evenly"),
)
OF_BOTH = (
    Panel("below_chance", "loss below its chance level", "0: no better than guessing", 0.0),
    Panel("alignment", "alignment", "lower: queries nearer to their documents", from_zero=True),
    Panel(KL, "KL divergence of the towers", "lower: more alike on the same texts"),
)


def plot_diagnostics(parts: Sequence[Part], path: Path) -> None:
    """Draw the diagnostics of a training against steps; PNG and SVG.

    Args:
        parts: Of the training, in their order.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    with picture(path, (14.5, 6.6), "constrained") as figure:
        draw_diagnostics(figure, parts)


def draw_diagnostics(figure: Figure, parts: Sequence[Part]) -> None:
    """Draw on a figure what `plot_diagnostics` writes: above what is said of each tower, below what of both together."""
    figure.suptitle("Diagnostics of the training", x=0.008, ha="left", size=15, weight="bold")
    grid = figure.add_gridspec(2, len(BY_TOWER), hspace=0.08, wspace=0.05)
    for column, panel in enumerate(BY_TOWER):
        axes = figure.add_subplot(grid[0, column])
        for tower, colour in TOWERS.items():
            draw_line(axes, parts, f"{tower}/{panel.key}", colour)
        _finish(axes, panel, parts)
    # One tower alone has no divergence.
    two = any(KL in row for part in parts for row in part.validations)
    panels = [panel for panel in OF_BOTH if panel.key != KL or two]
    for column, panel in enumerate(panels):
        axes = figure.add_subplot(grid[1, column])
        draw_line(axes, parts, panel.key, INK)
        _finish(axes, panel, parts)
    _legend(figure.add_subplot(grid[1, len(panels) :]), parts)


def collapses(parts: Sequence[Part]) -> Iterator[tuple[str, float, float, Rows]]:
    """Find where towers had collapsed, or nearly, judged by the first validation of the whole training.

    Yields:
        `collapsed` or `nearly_collapsed`; from which step to which, halfway to the validations around them; and the
        validations that found it.
    """
    validations = [row for part in parts for row in part.validations]
    levels = [worst(fallen_towers(row, validations[0])) for row in validations]
    steps = [row["step"] for row in validations]
    edges = [*steps[:1], *((before + after) / 2 for before, after in pairwise(steps)), *steps[-1:]]
    for level, group in groupby(range(len(steps)), key=lambda place: levels[place]):
        places = list(group)
        if level is not None:
            yield level, edges[places[0]], edges[places[-1] + 1], [validations[place] for place in places]


def collapse_words(parts: Sequence[Part], level: str) -> str:
    """Say at which steps towers had collapsed, or nearly; empty where none had."""
    last = max((row["step"] for part in parts for row in part.validations), default=0)
    words = []
    for rows in [rows for found, _, _, rows in collapses(parts) if found == level]:
        first, end = rows[0]["step"], rows[-1]["step"]
        if end == last:
            words.append(f"from step {first:,}")
        else:
            words.append(f"at step {first:,}" if first == end else f"at steps {first:,} to {end:,}")
    return f"{MARKS[level]} {', '.join(words)}" if words else ""


def _finish(axes: Axes, panel: Panel, parts: Sequence[Part]) -> None:
    """Add to a panel's lines what they are read by: titles, limits, collapses and the beginnings of parts."""
    axes.set_title(panel.title, loc="left", weight="bold", size=11, pad=20)
    axes.text(0, 1.03, panel.meaning, color=MUTED, size=9, transform=axes.transAxes)
    for level, start, end, _ in collapses(parts):
        axes.axvspan(start, end, color=BANDS[level], linewidth=0, zorder=0)
    finish_steps(axes, parts, left_out(parts, panel.key))
    mark_beginnings(axes, parts)
    if panel.limit is not None:
        axes.axhline(panel.limit, zorder=1, **LIMIT)
    if panel.from_zero:
        axes.set_ylim(bottom=min(0.0, axes.dataLim.y0))


def _legend(axes: Axes, parts: Sequence[Part]) -> None:
    """Explain colours and lines once for all panels."""
    axes.set_axis_off()
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linewidth=1.8, marker="o", markersize=3.5, label=f"{tower} tower")
        for tower, colour in TOWERS.items()
    ]
    limits = f"limit of collapse\n(cosine above {COSINE:g}, rank below {RANK:g})"
    handles.append(Line2D([], [], label=limits, **LIMIT))
    handles += [
        Patch(color=band, label=words) for level, band in BANDS.items() if (words := collapse_words(parts, level))
    ]
    handles += [Line2D([], [], label=f"{part.name} begins", **BEGINNING) for part in parts[1:]]
    axes.legend(handles=handles, loc="upper left", frameon=False, borderaxespad=0).set_in_layout(False)
