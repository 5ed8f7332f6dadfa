"""Which layers carry the gain, in pictures: each exchanged alone, exchanged from either end, and weights in between."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.outcome import Picture
from pipeline.probing.swap.shares import Exchange, Measured

DEEP = "#7a5195"


def pictures(exchange: Exchange, several: bool) -> dict[str, Picture]:
    """Prepare the pictures of one exchange.

    Args:
        exchange: What was measured.
        several: Whether there are others, so that file names need the model's.
    """
    ending = f"-{exchange.tuned}" if several else ""
    wide = 1.6 + 0.62 * len(exchange.of("alone"))
    return {
        f"layers{ending}": Picture(partial(_draw_alone, exchange), (max(6.5, wide), 4.2)),
        f"cumulative{ending}": Picture(partial(_draw_cumulative, exchange), (max(7.0, wide), 4.4)),
        f"interpolation{ending}": Picture(partial(_draw_between, exchange), (7.0, 4.2)),
    }


def _draw_alone(exchange: Exchange, figure: Figure) -> None:
    """Draw what each unit takes away when it alone comes from the base, with intervals."""
    axes = figure.subplots()
    ones = exchange.of("alone")
    lost = np.array([[one.lost.mean, one.lost.low, one.lost.high] for one in ones]).T
    places = np.arange(len(ones))
    axes.bar(places, lost[0], width=0.65, color=ORANGE)
    axes.errorbar(places, lost[0], yerr=_reaches(lost), fmt="none", ecolor=INK, elinewidth=1, capsize=3)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xticks(places, [exchange.unit(one) for one in ones], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_ylabel(f"{exchange.measures[0]} lost")
    gain = exchange.gain[exchange.measures[0]]
    axes.set_title(
        f"{exchange.tuned} with one unit of {exchange.base} (whole change: {gain.mean:+.4f})", loc="left", fontsize=10
    )
    if gain.low > 0:
        whole = gain.mean
        functions: Any = (lambda lost: 100 * lost / whole, lambda share: share * whole / 100)
        shares: Any = axes.secondary_yaxis("right", functions=functions)
        shares.set_ylabel("% of the gain")
        shares.spines["right"].set_visible(True)
    _quiet(axes)


def _draw_cumulative(exchange: Exchange, figure: Figure) -> None:
    """Draw what remains while units come from the base one after another, from below and from above."""
    axes = figure.subplots()
    below, above = exchange.of("from below"), exchange.of("from above")
    places = np.arange(len(below))
    _ends(axes, exchange)
    for ones, colour, label, mark in (
        (below, INK, f"embeddings up to here from {exchange.base}", ">"),
        (above, DEEP, f"here up to the end from {exchange.base}", "<"),
    ):
        axes.plot(places, [one.mean for one in ones], color=colour, marker=mark, markersize=5, label=label)
        axes.fill_between(places, *_band(exchange, ones), color=colour, alpha=0.12, linewidth=0)
    axes.set_xticks(places, [exchange.unit(one) for one in below], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_title(f"{exchange.tuned} with units of {exchange.base}", loc="left", fontsize=10)
    axes.set_ylabel(exchange.measures[0])
    _quiet(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _draw_between(exchange: Exchange, figure: Figure) -> None:
    """Draw the measure along the straight line between the weights of both models."""
    axes = figure.subplots()
    ones = exchange.of("between")
    share = [100 * one.variant.tuned_share[0] for one in ones]
    _ends(axes, exchange)
    axes.plot(share, [one.mean for one in ones], color=INK, marker="o", markersize=4)
    axes.fill_between(share, *_band(exchange, ones), color=INK, alpha=0.12, linewidth=0)
    axes.set_xlabel(f"Share of {exchange.tuned} in the weights, %")
    axes.set_ylabel(exchange.measures[0])
    axes.set_title(f"Between {exchange.base} and {exchange.tuned}", loc="left", fontsize=10)
    _quiet(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _ends(axes: Axes, exchange: Exchange) -> None:
    """Draw both models as level lines."""
    for name, mean, colour in zip((exchange.base, exchange.tuned), exchange.ends(), (BLUE, ORANGE), strict=True):
        axes.axhline(mean, color=colour, linewidth=1.4, linestyle="--", label=name)


def _band(exchange: Exchange, ones: list[Measured]) -> tuple[list[float], list[float]]:
    """Give the interval of the paired difference from the tuned model, hung on its mean."""
    tuned = exchange.ends()[1]
    return [tuned - one.lost.high for one in ones], [tuned - one.lost.low for one in ones]


def _reaches(figures: np.ndarray) -> np.ndarray:
    """Turn means, lower and upper ends [3, n] into the lengths that error bars are drawn with [2, n]."""
    return np.clip(np.stack([figures[0] - figures[1], figures[2] - figures[0]]), 0, None)


def _quiet(axes: Axes) -> None:
    axes.grid(axis="y", **GRID)
    axes.set_axisbelow(True)
