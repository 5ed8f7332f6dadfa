"""Attributions as rows: what is seen first, and the CSV files."""

from typing import Any

import numpy as np

from pipeline.evaluation.statistics import Interval
from pipeline.probing.attribution.activity import Activity
from pipeline.probing.attribution.activity_change import Change
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS
from pipeline.probing.attribution.results import PLURAL, Results
from pipeline.probing.outcome import Row

BINS = np.array([0, 1e-9, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1 + 1e-9])
"""Edges of the distribution of shares; the first bin holds the neurons that are never active."""


def summary(results: Results) -> list[Row]:
    """What a person wants to see first: a row for each model, kind of text and sub-layer."""
    changes = {(one.other.model, one.other.kind, one.name): one.change for one in results.changes()}
    rows: list[Row] = []
    for activity, name in results.each():
        counts = activity.counts[name][results.place]
        row: dict[str, Any] = {
            "model": activity.model,
            "texts": f"{activity.texts} {PLURAL[activity.kind]}",
            "sub-layer": name,
            "active": float(activity.active[name][results.place].sum(axis=1).mean()),
            "at least once": f"{int((counts > 0).sum())} of {counts.size}",
            **completeness(activity, name),
            f"gap above {share(results.tolerance)}": int((_of(activity.gap, name) > results.tolerance).sum()),
        }
        found = changes.get((activity.model, activity.kind, name))
        if found:
            row |= {"change, %": spoken(found.activations, 1), "overlap": spoken(found.overlap, 3)}
        rows.append(row)
    return rows


def layers(results: Results) -> list[Row]:
    """Give what is active by layer."""
    rows: list[Row] = []
    for activity, name in results.each():
        shares = results.shares(activity, name)
        for layer, active in enumerate(shares):
            rows.append(
                {
                    **_place(activity, name, layer),
                    "texts": activity.texts,
                    "rows": activity.rows,
                    "neurons": len(active),
                    "mean share": float(active.mean()),
                    "active per text": float(activity.active[name][results.place, :, layer].mean()),
                    "active at least once": int((active > 0).sum()),
                    f"gap above {share(results.tolerance)}": int(
                        (_of(activity.gap, name, layer) > results.tolerance).sum()
                    ),
                    "P(1) - P(0), mean": float(activity.difference[:, layer, SUB_LAYERS.index(name)].mean()),
                }
            )
    return rows


def neurons(results: Results) -> list[Row]:
    """Give the share of every neuron that is active at least once, the largest of a layer first."""
    return [
        {**_place(activity, name, layer), "neuron": int(neuron), "share": float(active[neuron])}
        for activity, name in results.each()
        for layer, active in enumerate(results.shares(activity, name))
        for neuron in np.argsort(-active, kind="stable")[: int((active > 0).sum())]
    ]


def distribution(results: Results) -> list[Row]:
    """Count neurons by their share."""
    return [
        {
            **_place(activity, name, layer),
            "share from": 0.0 if start < 1e-6 else float(start),
            "share below": "never active" if not place else float(min(BINS[place + 1], 1)),
            "neurons": int(number),
        }
        for activity, name in results.each()
        for layer, active in enumerate(results.shares(activity, name))
        for place, (start, number) in enumerate(zip(BINS[:-1], np.histogram(active, BINS)[0], strict=True))
    ]


def changes_by_layer(results: Results) -> list[Row]:
    """Give what changed in each layer and in all of them."""
    depth = results.found[0].activities[0].gap.shape[1]
    rows: list[Row] = []
    for layer in (None, *range(depth)):
        for one in results.changes(layer=layer):
            base = {f"base {key}": value for key, value in completeness(one.base, one.name, layer).items()}
            place = _place(one.other, one.name, layer)
            rows.append({"base": one.base.model, **place, **base, **_columns(one.change)})
    return rows


def sweep(results: Results) -> list[Row]:
    """Give what changes with the threshold."""
    rows: list[Row] = []
    for place, threshold in enumerate(results.method.thresholds):
        found = {(one.other.model, one.other.kind, one.name): _columns(one.change) for one in results.changes(place)}
        for activity, name in results.each():
            rows.append(
                {
                    "threshold": threshold,
                    "model": activity.model,
                    "texts": activity.kind,
                    "sub-layer": name,
                    "active per text": float(activity.active[name][place].sum(axis=1).mean()),
                    "active at least once": int((activity.counts[name][place] > 0).sum()),
                    **completeness(activity, name),
                    **found.get((activity.model, activity.kind, name), {}),
                }
            )
    return rows


def _place(activity: Activity, name: str, layer: int | None) -> dict[str, Any]:
    """Say what a row is about; layers are counted from 1, as the first block's."""
    number = "all" if layer is None else layer + 1
    place = {"model": activity.model, "texts of": activity.kind, "sub-layer": name, "layer": number}
    return {**place, **completeness(activity, name, layer)}


def completeness(activity: Activity, name: str, layer: int | None = None) -> dict[str, float]:
    """Say by how many points, and how completely, what stands beside it was attributed.

    Args:
        activity: Of a model.
        name: Of the sub-layer.
        layer: From 0; None: all of them together.
    """
    gap, points = _of(activity.gap, name, layer), _of(activity.points, name, layer)
    return {
        "points": float(points.mean()),
        "gap, median": float(np.median(gap)),
        "gap, together": together(gap, _of(activity.difference, name, layer)),
    }


def together(gap: np.ndarray, difference: np.ndarray) -> float:
    """Give the gap of all differences together, relative to them: a single difference may be near 0."""
    size = np.abs(difference)
    return float((gap * size).sum() / max(size.sum(), 1e-30))


def _of(values: np.ndarray, name: str, layer: int | None = None) -> np.ndarray:
    """Take of [texts, layers, 2] what belongs to a sub-layer of one layer or of all."""
    chosen = values[..., SUB_LAYERS.index(name)]
    return chosen if layer is None else chosen[:, layer]


def incomplete(results: Results) -> list[Row]:
    """List, by text and layer, the attributions that the adaptive rule could not make complete, the widest gap first."""
    rows: list[Row] = []
    if results.method.quadrature.tolerance == float("inf"):
        return rows  # of rules that do not adapt, `layers` counts them
    for activity, name in results.each():
        place = SUB_LAYERS.index(name)
        for text, layer in np.argwhere(_of(activity.gap, name) > results.tolerance):
            rows.append(
                {
                    "model": activity.model,
                    "texts of": activity.kind,
                    "text": activity.ids[text],
                    "layer": int(layer) + 1,
                    "sub-layer": name,
                    "gap": float(activity.gap[text, layer, place]),
                    "points": int(activity.points[text, layer, place]),
                    "P(1) - P(0)": float(activity.difference[text, layer, place]),
                }
            )
    return sorted(rows, key=lambda row: -row["gap"])


def share(value: float) -> str:
    """Write a share in per cent."""
    return f"{100 * value:g}%"


def _columns(found: Change) -> dict[str, Any]:
    """Lay a change out as columns."""
    return {
        "change, %": found.activations.mean,
        "low": found.activations.low,
        "high": found.activations.high,
        "at least once, change, %": found.at_least_once,
        "overlap": found.overlap.mean,
        "overlap, low": found.overlap.low,
        "overlap, high": found.overlap.high,
        "overlap at least once": found.overlap_at_least_once,
    }


def spoken(interval: Interval, digits: int) -> str:
    """Write an interval with so many digits."""
    return f"{interval.mean:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
