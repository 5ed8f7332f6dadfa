"""The picture of the linear probe: accuracy by layer, a panel for each N and kind of probe."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, ORANGE
from pipeline.probing.linear.published_probes import Curve
from pipeline.probing.linear.results import Results
from pipeline.probing.outcome import Picture, Row

OTHERS = ("#5c7a29", "#7a4a8c", "#8a6d1b")
"""For models beyond base and tuned."""
PANEL = 3.1
"""Inches."""


def pictures_of(
    results: Results, rows: Sequence[Row], published: Mapping[str, Mapping[int, Curve]]
) -> dict[str, Picture]:
    """Give two pictures: all kinds of probe at the largest N, and all N for the kind that comes first.

    Args:
        results: What was measured.
        rows: The same as `rows_of` lays it out.
        published: By model and N: the published curve.
    """
    counts, most = results.design.candidates, max(results.design.candidates)
    probes = list(dict.fromkeys(probe for _, probe in results.arrays))
    panels = [(probe, n) for probe in probes for n in counts]
    by_probe = _picture(results, rows, published, [(probe, most) for probe in probes])
    every = _picture(results, rows, published, panels, columns=len(counts))
    return (
        {"accuracy_by_layer": by_probe}
        if len(counts) == 1
        else {"accuracy_by_layer": by_probe, "all_candidates": every}
    )


def _picture(
    results: Results,
    rows: Sequence[Row],
    published: Mapping[str, Mapping[int, Curve]],
    panels: Sequence[tuple[str, int]],
    columns: int | None = None,
) -> Picture:
    # Panels of one N share their scale: what each kind of probe reads is seen at a glance.
    shared: Literal["col", "all"] = "col" if columns else "all"
    columns = columns or (len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3)
    lines = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(lines, columns, squeeze=False, sharey=shared)
        for (probe, n), place in zip(panels, axes.flat, strict=False):
            chosen = [row for row in rows if (row["probe"], row["candidates"]) == (probe, n)]
            curves = {model: found[n] for model, found in published.items() if n in found and probe == "concat"}
            _panel(place, results, chosen, curves, f"{probe}, N = {n}")
        for place in list(axes.flat)[len(panels) :]:
            place.set_visible(False)
        for place in axes[:, 0]:
            place.set_ylabel("accuracy on test rows")
        named = {
            label: handle
            for place in axes.flat
            for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            named.values(),
            named.keys(),
            loc="outside lower center",
            ncols=min(7 if columns > 1 else 3, len(named)),
            frameon=False,
        )

    return Picture(draw, (1 + PANEL * 1.25 * columns, 0.9 + PANEL * lines))


def _panel(axes: Axes, results: Results, rows: Sequence[Row], published: Mapping[str, Curve], title: str) -> None:
    """Draw base and others with bands, their controls as thin lines, chance and what was published."""
    for model, colour in colours(results.models).items():
        own = [row for row in rows if row["model"] == model]
        layers = [row["layer"] for row in own]
        low, high = ([row[f"accuracy_{end}"] for row in own] for end in ("low", "high"))
        axes.fill_between(layers, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(layers, [row["accuracy"] for row in own], color=colour, marker="o", markersize=3.5, label=model)
        thin: dict[str, Any] = {"color": colour, "linewidth": 0.8, "alpha": 0.8}
        _thin(axes, own, "shuffled_questions", {**thin, "linestyle": "--"})
        _thin(axes, own, "random_labels", {**thin, "linestyle": ":"})
        if model in published:
            axes.plot(*zip(*sorted(published[model].items()), strict=True), color=colour, alpha=0.3, linewidth=3)
    axes.axhline(rows[0]["chance"], color=MUTED, linewidth=0.8)
    axes.set_title(title, loc="left", size=10.5)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", **GRID)
    axes.set_axisbelow(True)
    _explain(axes, "random_labels" in rows[0], bool(published))


def _thin(axes: Axes, rows: Sequence[Row], name: str, style: Mapping[str, Any]) -> None:
    if rows and name in rows[0]:
        axes.plot([row["layer"] for row in rows], [row[name] for row in rows], **style)


def _explain(axes: Axes, random_labels: bool, published: bool) -> None:
    """Name the kinds of line in the legend, in a colour that belongs to no model."""
    said: list[tuple[str, dict[str, Any]]] = [("questions of other rows", {"linestyle": "--", "linewidth": 0.8})]
    said += [("random labels", {"linestyle": ":", "linewidth": 0.8})] if random_labels else []
    said += [("published", {"alpha": 0.3, "linewidth": 3})] if published else []
    for label, style in said:
        axes.plot([], [], color=INK, label=label, **style)
    axes.plot([], [], color=MUTED, linewidth=0.8, label="chance")


def colours(models: Sequence[str]) -> dict[str, str]:
    """Give each model its colour: blue for the first, orange for the second."""
    known = (BLUE, ORANGE, *OTHERS)
    return {model: known[place % len(known)] for place, model in enumerate(models)}
