"""The picture of changes with their intervals: who was edited down the side, one panel for each measure."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.intervention.changes import AFFECTED, CONTROL, HELD_OUT

PLACES = {AFFECTED: -0.22, HELD_OUT: 0.0, CONTROL: 0.22}
"""How far each group of queries is below its selection's line."""
LEAST_REACH = 0.005
"""Changes smaller than this are drawn as what they are: next to nothing."""
MARKERS = {AFFECTED: "o", HELD_OUT: "D", CONTROL: "o"}
WORDS = {
    AFFECTED: "affected queries",
    HELD_OUT: "those of them that attribution had not seen",
    CONTROL: "control queries",
}


def draw_changes(figure: Figure, rows: Sequence[Mapping[str, Any]], measures: Sequence[str], base: str) -> None:
    """Draw mean changes, those of affected queries filled and those of control queries hollow.

    Args:
        figure: Where to.
        rows: With `model`, `selection`, `group`, `measure`, `change`, `low` and `high`.
        measures: One column of panels for each.
        base: The model drawn in blue.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    groups = [group for group in PLACES if any(row["group"] == group for row in rows)]
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
    for axes in panels[0]:  # the panels of a column share their axis
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -LEAST_REACH), max(high, LEAST_REACH))
    figure.legend(
        handles=[
            Line2D([], [], marker=MARKERS[group], linestyle="", label=WORDS[group], **_colours(group, INK))
            for group in groups
        ],
        loc="outside upper right",
        ncols=len(groups),
        frameon=False,
    )


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], colour: str) -> None:
    selections = list(dict.fromkeys(row["selection"] for row in rows))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.grid(axis="x", **GRID)
    axes.set_axisbelow(True)
    for row in rows:
        axes.errorbar(
            row["change"],
            selections.index(row["selection"]) + PLACES[row["group"]],
            xerr=[[max(0.0, row["change"] - row["low"])], [max(0.0, row["high"] - row["change"])]],
            fmt=MARKERS[row["group"]],
            markersize=5,
            capsize=3,
            **_colours(row["group"], colour),
        )
    axes.set_yticks(range(len(selections)), selections)
    axes.set_ylim(len(selections) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.08)


def _colours(group: str, colour: str) -> dict[str, Any]:
    return {"color": colour, "markerfacecolor": "white" if group == CONTROL else colour}
