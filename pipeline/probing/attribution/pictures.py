"""Pictures of active neurons: heat maps by layer with the neurons sorted, distributions of shares, threshold sweeps."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.encoders.backbones import Kind
from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.outcome import Picture, Row

COLUMNS = 400
"""A heat map has at most so many; the shares of neighbours in the order are averaged."""
TITLES = {"inner": "neurons (intermediate, gate)", "outer": "outputs (output, down)"}
PLURAL = {"query": "queries", "document": "documents"}
SHARES = LinearSegmentedColormap.from_list("shares", [(0, "#ffffff"), (0.35, "#b9d3e6"), (0.8, BLUE), (1, INK)])
DIFFERENCES = LinearSegmentedColormap.from_list("differences", [BLUE, "#ffffff", ORANGE])
FAINT = 0.01
"""Shares below this are drawn on a linear scale, those above it on a logarithmic one."""
COLOURS = (BLUE, ORANGE, MUTED, INK)

Shares = Mapping[tuple[Kind, str, str], np.ndarray]


def pictures(shares: Shares, sweep: Sequence[Row], threshold: float) -> dict[str, Picture]:
    """Prepare all pictures.

    Args:
        shares: By kind of text, sub-layer and model, the share of texts for which each neuron is active,
            [layers, neurons]; the base is the first model.
        sweep: The rows of the threshold sweep.
        threshold: The one that shares are about.
    """
    found = {}
    models = list(dict.fromkeys(model for _, _, model in shares))
    for kind in dict.fromkeys(kind for kind, _, _ in shares):
        for name in TITLES:
            panels = {model: shares[kind, name, model] for model in models}
            depth = len(panels[models[0]])
            height = 1.1 + (0.35 + 0.16 * depth) * (2 * len(panels) - 1)
            found[f"{kind}_{name}_heat"] = Picture(partial(draw_heat, kind=kind, name=name, panels=panels), (9, height))
        by_name = {name: {model: shares[kind, name, model] for model in models} for name in TITLES}
        found[f"{kind}_distribution"] = Picture(partial(draw_distribution, kind=kind, shares=by_name))
        rows = [row for row in sweep if row["texts"] == kind]
        found[f"{kind}_thresholds"] = Picture(partial(draw_sweep, kind=kind, rows=rows, threshold=threshold), (9, 6.5))
    return found


def draw_heat(figure: Figure, kind: Kind, name: str, panels: Mapping[str, np.ndarray]) -> None:
    """Draw every model's shares, each layer's neurons sorted, and its difference from the base, sorted too."""
    base = next(iter(panels))
    drawn: list[tuple[str, np.ndarray, bool]] = [(model, _sorted(share), False) for model, share in panels.items()]
    drawn += [
        (f"{model} less {base}", _sorted(share - panels[base]), True)
        for model, share in panels.items()
        if model != base
    ]
    figure.suptitle(f"Share of {PLURAL[kind]} for which {TITLES[name]} are active", fontsize=11)
    axes = np.atleast_1d(figure.subplots(len(drawn), 1, sharex=True))
    most = max(float(share.max()) for share in panels.values()) or 1.0
    for place, (title, share, is_difference) in zip(axes, drawn, strict=True):
        _heat(figure, place, title, share, is_difference, max(most, 2 * FAINT))
    neurons = panels[base].shape[1]
    axes[-1].set_xlabel(f"rank within the layer, of {neurons:,}")


def _heat(figure: Figure, axes: Axes, title: str, share: np.ndarray, is_difference: bool, most: float) -> None:
    """Draw one panel; the first layer lies at the bottom."""
    depth, columns = share.shape
    image = axes.imshow(
        _narrowed(share),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(1, columns, 0.5, depth + 0.5),
        cmap=DIFFERENCES if is_difference else SHARES,
        norm=SymLogNorm(FAINT, vmin=-most if is_difference else 0, vmax=most),
    )
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel("layer")
    axes.set_yticks(range(1, depth + 1, max(1, depth // 6)))
    ticks = [*(tick for tick in (0.01, 0.1) if tick < most / 2), most]
    signed = [-tick for tick in ticks[::-1]] if is_difference else []
    bar = figure.colorbar(image, ax=axes, ticks=[*signed, 0, *ticks], pad=0.01, aspect=10)
    bar.ax.set_yticklabels([f"{100 * tick:.3g}%" for tick in [*signed, 0, *ticks]], fontsize=8)
    bar.ax.minorticks_off()


def _sorted(share: np.ndarray) -> np.ndarray:
    """Sort each layer's neurons, the largest first."""
    return -np.sort(-share, axis=1)


def _narrowed(share: np.ndarray) -> np.ndarray:
    """Average neighbours where there are more neurons than can be seen."""
    if share.shape[1] <= COLUMNS:
        return share
    return np.stack([part.mean(axis=1) for part in np.array_split(share, COLUMNS, axis=1)], axis=1)


def draw_distribution(figure: Figure, kind: Kind, shares: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Draw how many neurons of all layers are active for at least a share of the texts."""
    figure.suptitle(f"Neurons active for at least a share of the {PLURAL[kind]}", fontsize=11)
    for axes, (name, models) in zip(figure.subplots(1, 2), shares.items(), strict=True):
        for colour, (model, share) in zip(_colours(len(models)), models.items(), strict=True):
            values = np.sort(share[share > 0])[::-1]
            if len(values):
                axes.step(values, np.arange(1, len(values) + 1), where="post", color=colour, label=model)
            else:
                axes.plot([], [], color=colour, label=f"{model}: none")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_title(TITLES[name], loc="left", fontsize=10)
        axes.set_xlabel("share of texts")
        axes.grid(**GRID)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=9)
    figure.axes[0].set_ylabel("neurons, all layers")


def draw_sweep(figure: Figure, kind: Kind, rows: Sequence[Row], threshold: float) -> None:
    """Draw activity by threshold, and below it the change against the base with its interval."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure.suptitle(f"Active for {PLURAL[kind]}, by threshold", fontsize=11)
    grid = figure.subplots(2 if len(models) > 1 else 1, 2, sharex=True, squeeze=False)
    for column, name in enumerate(TITLES):
        for colour, model in zip(_colours(len(models)), models, strict=True):
            own = [row for row in rows if row["model"] == model and row["sub-layer"] == name]
            _line(grid[0, column], own, "active per text", colour)
            if len(models) > 1 and "low" in own[0]:
                _line(grid[1, column], own, "change, %", colour)
                at = [row["threshold"] for row in own]
                low, high = [row["low"] for row in own], [row["high"] for row in own]
                grid[1, column].fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        grid[0, column].set_title(TITLES[name], loc="left", fontsize=10)
        grid[0, column].set_yscale("log")
        grid[-1, column].set_xlabel("threshold, part of the text's largest attribution")
    thresholds = sorted({float(row["threshold"]) for row in rows})
    for axes in grid.flat:
        axes.set_xscale("log")
        axes.set_xticks(thresholds, [f"{at:g}" for at in thresholds])
        axes.minorticks_off()
        axes.axvline(threshold, color=MUTED, linewidth=0.8, linestyle=":")
        axes.grid(**GRID)
        axes.set_axisbelow(True)
    grid[0, 0].set_ylabel("active per text")
    grid[0, 0].legend(frameon=False, fontsize=9)
    if len(models) > 1:
        grid[1, 0].set_ylabel(f"change against {models[0]}, %")
        for axes in grid[1]:
            axes.axhline(0, color=INK, linewidth=0.8)


def _line(axes: Axes, rows: Sequence[Row], column: str, colour: str) -> None:
    pairs: list[tuple[Any, Any]] = [(row["threshold"], row[column]) for row in rows]
    axes.plot(*zip(*pairs, strict=True), color=colour, marker="o", markersize=3.5, label=rows[0]["model"])


def _colours(count: int) -> list[str]:
    """Blue for the base, orange for the tuned, and others after them, over and over where models are many."""
    return [COLOURS[place % len(COLOURS)] for place in range(count)]
