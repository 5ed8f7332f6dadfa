"""The geometry of layers in pictures: likeness by layer, spread before and after, and where weights moved."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.geometry.drift import MODULES
from pipeline.probing.geometry.findings import PLURAL
from pipeline.probing.outcome import Picture, Row

SPREAD = {"mean_cosine": "Mean cosine of two texts", "effective_rank": "Effective rank", "uniformity": "Uniformity"}
WARM = LinearSegmentedColormap.from_list("warm", ["#ffffff", "#f3c9a8", ORANGE, "#5e1f06"])
TUNED = (ORANGE, "#7a5195", "#2f8f6b", "#b8860b", MUTED)
"""Colours of the models beside the base, in turn."""


def pictures(first: str, alike: Sequence[Row], spreads: Sequence[Row], drifts: Sequence[Row]) -> dict[str, Picture]:
    """Prepare the pictures.

    Args:
        first: The base's name.
        alike: Rows of `likeness`.
        spreads: Rows of `spread`.
        drifts: Rows of `drifts_of`.
    """
    kinds = list(dict.fromkeys(row["texts"] for row in spreads))
    drawn = {
        "similarity": Picture(partial(_draw_likeness, first, alike, kinds), (4.6 * len(kinds) + 0.6, 4.2)),
        "spread": Picture(partial(_draw_spread, first, spreads, kinds), (11.5, 3.2 * len(kinds) + 0.4)),
    }
    for model, tower in dict.fromkeys((row["model"], row["tower"]) for row in drifts):
        rows = [row for row in drifts if (row["model"], row["tower"]) == (model, tower)]
        several = len({(row["model"], row["tower"]) for row in drifts}) > 1
        units = len({row["layer"] for row in rows})
        name = f"drift-{model}-{tower.replace(' ', '-')}" if several else "drift"
        drawn[name] = Picture(partial(_draw_drift, first, rows), (9.5, 1.9 + 0.36 * units))
    return drawn


def _draw_likeness(first: str, rows: Sequence[Row], kinds: Sequence[str], figure: Figure) -> None:
    """Draw CKA as lines, dotted where it is debiased, and RSA as broken lines, by layer, one panel for each kind of text."""
    panels: Any = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for panel, kind in zip(panels, kinds, strict=True):
        for model, colour in _colours(rows).items():
            of = [row for row in rows if (row["model"], row["texts"]) == (model, kind)]
            _curve(panel, of, "cka", colour, f"{model}, CKA", "-")
            _curve(panel, of, "cka_debiased", colour, f"{model}, CKA debiased", ":")
            _curve(panel, of, "rsa", colour, f"{model}, RSA", "--")
        _layers(panel, f"{PLURAL[kind]}: likeness to {first}")
    panels[0].set_ylabel("Likeness (1: the same up to rotation and scale)")
    panels[0].legend(frameon=False, loc="best")


def _draw_spread(first: str, rows: Sequence[Row], kinds: Sequence[str], figure: Figure) -> None:
    """Draw mean cosine, effective rank and uniformity by layer: the base in blue, the others in warm colours."""
    panels: Any = figure.subplots(len(kinds), len(SPREAD), squeeze=False)
    others = [row for row in rows if row["model"] != first]
    for line, kind in zip(panels, kinds, strict=True):
        for panel, (name, title) in zip(line, SPREAD.items(), strict=True):
            for model, colour in {first: BLUE, **_colours(others)}.items():
                _curve(panel, [r for r in rows if (r["model"], r["texts"]) == (model, kind)], name, colour, model, "-")
            _layers(panel, f"{title}, {PLURAL[kind].lower()}")
    panels[0][0].legend(frameon=False, loc="best")


def _draw_drift(first: str, rows: Sequence[Row], figure: Figure) -> None:
    """Draw the relative change of each kind of module in each unit as a heat map, in per cent of the base's norm."""
    modules = [module for module in MODULES if any(row["module"] == module for row in rows)]
    units = list(dict.fromkeys(row["unit"] for row in rows))
    share = np.full((len(units), len(modules)), np.nan)
    for row in rows:
        share[units.index(row["unit"]), modules.index(row["module"])] = 100 * row["relative_change"]
    axes = figure.subplots()
    top = float(np.nanmax(share)) or 1.0
    axes.set_facecolor("#eceff2")  # no such module in this unit
    image = axes.imshow(share, cmap=WARM, vmin=0, vmax=top, aspect="auto")
    for (line, column), value in np.ndenumerate(share):
        if not np.isnan(value):
            colour = "white" if value > 0.6 * top else INK
            axes.text(column, line, f"{value:.3g}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(modules)), modules, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(units)), units)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"How far the weights of {rows[0]['model']} moved from {first}'s ({rows[0]['tower']} tower)", loc="left"
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("% of the base's norm")
    bar.outline.set_visible(False)


def _curve(axes: Axes, rows: Sequence[Row], name: str, colour: str, label: str, style: str) -> None:
    """Draw one figure by layer with its interval as a band; layers without it are left out."""
    known = [row for row in rows if row[name] is not None]
    layers = [row["layer"] for row in known]
    axes.plot(layers, [row[name] for row in known], style, color=colour, marker="o", markersize=3.5, label=label)
    if known and f"{name}_low" in known[0]:
        low, high = ([row[f"{name}_{end}"] for row in known] for end in ("low", "high"))
        axes.fill_between(layers, low, high, color=colour, alpha=0.18, linewidth=0)


def _layers(axes: Axes, title: str) -> None:
    """Set up an axis of layers."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("Layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", **GRID)
    axes.set_axisbelow(True)


def _colours(rows: Sequence[Row]) -> Mapping[str, str]:
    """Give each model beside the base its colour."""
    models = dict.fromkeys(row["model"] for row in rows)
    return {model: TUNED[number % len(TUNED)] for number, model in enumerate(models)}
