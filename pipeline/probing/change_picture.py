"""The picture of changes with their intervals: who was edited down the side, one panel for each measure."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.changes import AFFECTED, CONTROL

APART = 0.16
"""How far the two groups of queries are above and below their selection's line."""


def draw_changes(figure: Figure, rows: Sequence[Mapping[str, Any]], measures: Sequence[str], base: str) -> None:
    """Draw mean changes, affected queries filled and control queries hollow.

    Args:
        figure: Where to.
        rows: With `model`, `selection`, `group`, `measure`, `change`, `low` and `high`.
        measures: One column of panels for each.
        base: The model drawn in blue.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    panels = figure.subplots(len(models), len(measures), squeeze=False, sharex="col", sharey="row")
    for line, model in enumerate(models):
        colour = BLUE if model == base else ORANGE
        for column, measure in enumerate(measures):
            axes = panels[line, column]
            _panel(axes, [row for row in rows if row["model"] == model and row["measure"] == measure], colour)
            if line == 0:
                axes.set_title(measure, fontsize=10)
            if line == len(models) - 1:
                axes.set_xlabel("change")
        panels[line, 0].set_ylabel(model)
    figure.legend(
        handles=[
            Line2D([], [], marker="o", linestyle="", color=INK, label=f"{AFFECTED} queries"),
            Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor="white", label=f"{CONTROL} queries"),
        ],
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], colour: str) -> None:
    selections = list(dict.fromkeys(row["selection"] for row in rows))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.grid(axis="x", **GRID)
    axes.set_axisbelow(True)
    for row in rows:
        hollow = row["group"] == CONTROL
        axes.errorbar(
            row["change"],
            selections.index(row["selection"]) + (APART if hollow else -APART),
            xerr=[[max(0.0, row["change"] - row["low"])], [max(0.0, row["high"] - row["change"])]],
            fmt="o",
            color=colour,
            markerfacecolor="white" if hollow else colour,
            capsize=3,
        )
    axes.set_yticks(range(len(selections)), selections)
    axes.set_ylim(len(selections) - 0.5, -0.5)
