"""Pictures of a result: which queries gained and lost, and how training went."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.drawing import GAINED, LOST, MUTED, STYLE, save_figure

TEXTS_SHOWN = 6
CHARACTERS_A_LINE = 74


@dataclass(frozen=True)
class Change:
    """What happened to one query between two systems: its text and its measure before and after."""

    text: str
    before: float
    after: float


def plot_per_query(
    before: np.ndarray, after: np.ndarray, texts: Sequence[str], names: tuple[str, str], measure: str, path: Path
) -> None:
    """Draw every query's change between two systems, beside the texts that gained and lost most; PNG and SVG.

    Args:
        before: The measure of each query under the first system, shape [queries].
        after: The same under the second, shape [queries].
        texts: The queries, in the same order.
        names: The two systems.
        measure: The measure's name.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    change = np.asarray(after) - np.asarray(before)
    order = np.argsort(-change, kind="stable")
    changes = [Change(" ".join(texts[row].split()), float(before[row]), float(after[row])) for row in order]
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 7.6))
        _head(figure, change, float(np.mean(before)), float(np.mean(after)), names, measure)
        _bars(figure.add_axes((0.065, 0.09, 0.355, 0.7)), change[order], measure)
        gained = [item for item in changes[:TEXTS_SHOWN] if item.after > item.before]
        lost = [item for item in changes[: -TEXTS_SHOWN - 1 : -1] if item.after < item.before]
        _texts(figure, 0.775, f"Gained most ({measure} under {names[0]} → {names[1]})", gained, GAINED)
        _texts(figure, 0.385, f"Lost most ({measure} under {names[0]} → {names[1]})", lost, LOST)
        save_figure(figure, path)


def _head(
    figure: Figure, change: np.ndarray, before: float, after: float, names: tuple[str, str], measure: str
) -> None:
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    total = len(change)
    title = f"From {names[0]} to {names[1]}: {measure} {before:.3f} → {after:.3f}"
    figure.text(0.065, 0.93, title, size=17, weight="bold", parse_math=False)
    words = [f"{gained:,} gained ({gained / total:.0%})", f"{lost:,} lost ({lost / total:.0%})"]
    words.append(f"{total - gained - lost:,} stayed the same, of {total:,} queries")
    for left, word, colour in zip((0.065, 0.225, 0.365), words, (GAINED, LOST, MUTED), strict=True):
        figure.text(left, 0.873, word, size=12, color=colour, weight="bold")


def _bars(axes: Axes, change: np.ndarray, measure: str) -> None:
    """Draw the changes, best first, as one area: ten thousand bars would be as many objects in the SVG."""
    edges = np.arange(len(change) + 1)
    heights = np.append(change, change[-1])
    for part, colour in ((heights.clip(min=0), GAINED), (heights.clip(max=0), LOST)):
        axes.fill_between(edges, part, step="post", color=colour, linewidth=0)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    limit = max(0.05, float(np.abs(change).max())) * 1.05
    axes.set_ylim(-limit, limit)
    axes.set_xlim(0, len(change))
    axes.set_xlabel("queries, from the one that gained most to the one that lost most")
    axes.set_ylabel(f"change in {measure}", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def _texts(figure: Figure, top: float, heading: str, changes: Sequence[Change], colour: str) -> None:
    """Write queries with their two values, each on at most two lines."""
    figure.text(0.465, top, heading, size=12, weight="bold", color=colour, parse_math=False)
    height = top - 0.035
    if not changes:
        figure.text(0.465, height, "none", color=MUTED)
    for item in changes:
        figure.text(0.465, height, f"{item.before:.2f} → {item.after:.2f}", color=colour, size=9.5)
        for line in textwrap.wrap(item.text, CHARACTERS_A_LINE, max_lines=2, placeholder=" …"):
            figure.text(0.552, height, line, size=9.5, parse_math=False)
            height -= 0.0225
        height -= 0.0085


def plot_curves(rows: Sequence[Mapping[str, float]], measure: str, path: Path) -> None:
    """Draw the training loss and the validation measure against steps; PNG and SVG.

    Args:
        rows: Each with `step` and any of `loss` and the measure; a row without one of them leaves it out.
        measure: The validation measure's key, such as `ndcg@10`.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _curve(left, rows, "loss", LOST)
        left.set_title("training loss", loc="left", weight="bold")
        _curve(right, rows, measure, GAINED)
        best = max((row for row in rows if row.get(measure) is not None), key=lambda row: row[measure], default=None)
        found = f", best {best[measure]:.3f} at step {best['step']:,}" if best else ""
        right.set_title(f"{measure} on validation{found}", loc="left", weight="bold", parse_math=False)
        save_figure(figure, path)


def _curve(axes: Axes, rows: Sequence[Mapping[str, float]], key: str, colour: str) -> None:
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    axes.set_xlabel("step")
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    if not points:
        axes.text(0.5, 0.5, "nothing recorded", ha="center", color=MUTED, transform=axes.transAxes)
        return
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=colour, linewidth=1.8, marker="o" if len(points) < 60 else None, markersize=3.5)
