"""The picture of a training: its loss, and the measure that picked the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE, picture
from pipeline.training.parts import Part, Rows
from pipeline.training.validation import KL, KL_OF_COPIES, best_row

MARKED = 60
"""Fewer points than this have a mark each."""
BEGINNING: dict[str, Any] = {"color": MUTED, "linewidth": 1, "linestyle": (0, (2, 2))}


def plot_curves(parts: Sequence[Part], monitor: str, path: Path) -> None:
    """Draw the training loss and the validation measure against steps; PNG and SVG.

    Args:
        parts: Of the training, in their order.
        monitor: The figure of a validation that picked the weights, such as `ndcg@10` or `kl`.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    with picture(path, (10, 4), "constrained") as figure:
        draw_curves(figure, parts, monitor)


def draw_curves(figure: Figure, parts: Sequence[Part], monitor: str) -> None:
    """Draw on a figure what `plot_curves` writes."""
    left, right = figure.subplots(1, 2)
    draw_line(left, parts, "loss", ORANGE)
    left.set_title("training loss", loc="left", weight="bold")
    draw_line(right, parts, monitor, BLUE)
    # The weights are those of the last part, whatever the one before it reached.
    rows = [row for row in parts[-1].validations if monitor in row and row["step"] > parts[-1].begins]
    found = _mark_best(right, rows, monitor)
    right.set_title(f"{monitor} on validation{found}", loc="left", weight="bold", parse_math=False)
    beginnings = [f"{part.name} begins at {part.begins:,}" for part in parts[1:]]
    for axes, notes in ((left, []), (right, left_out(parts, monitor))):
        finish_steps(axes, parts, [*beginnings, *notes])
        mark_beginnings(axes, parts)


def _mark_best(axes: Axes, validations: Rows, monitor: str) -> str:
    """Draw a ring around the best validation, and say in words which it is."""
    if not validations:
        return ""
    best = best_row(validations, monitor)
    if is_drawn(best, monitor):
        axes.plot(best["step"], best[monitor], "o", color="none", markeredgecolor=INK, markersize=9)
    value = f"{best[monitor]:.3f}" if is_drawn(best, monitor) else "−∞"
    return f", best {value} at step {best['step']:,}"


def draw_line(axes: Axes, parts: Sequence[Part], key: str, colour: str) -> None:
    """Draw a figure against steps, every part as a line of its own: the weights in between are others."""
    kept = [[row for row in part.rows if is_drawn(row, key)] for part in parts]
    marker = "o" if sum(map(len, kept)) < MARKED else None
    for rows in filter(None, kept):
        steps, values = [row["step"] for row in rows], [row[key] for row in rows]
        axes.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=3.5)


def is_drawn(row: dict[str, float], key: str) -> bool:
    """Tell whether a row has a figure, and a finite one."""
    return key in row and not (key == KL and row[key] <= KL_OF_COPIES)


def left_out(parts: Sequence[Part], key: str) -> list[str]:
    """Say in a few words, if so it is, that some of a figure's values are not drawn."""
    missing = any(key in row and not is_drawn(row, key) for part in parts for row in part.validations)
    return ["−∞ (equal vectors) left out"] if missing else []


def finish_steps(axes: Axes, parts: Sequence[Part], notes: Sequence[str] = ()) -> None:
    """Give axes the same steps as all others of a training, notes below them, and words where nothing was drawn."""
    if not axes.lines:
        axes.text(0.5, 0.5, "nothing recorded", ha="center", color=MUTED, transform=axes.transAxes)
    steps = [row["step"] for part in parts for row in part.rows]
    first, last = min(steps, default=0), max(steps, default=1)
    margin = 0.03 * max(last - first, 1)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("; ".join(["step", *notes]))
    axes.grid(axis="y", **GRID)
    axes.set_axisbelow(True)


def mark_beginnings(axes: Axes, parts: Sequence[Part]) -> None:
    """Draw a vertical line where every part but the first begins."""
    for part in parts[1:]:
        axes.axvline(part.begins, zorder=1, **BEGINNING)
