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
            "gap": float(np.median(activity.gap[..., SUB_LAYERS.index(name)])),
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
        for layer, share in enumerate(shares):
            rows.append(
                {
                    **_place(activity, name, layer),
                    "texts": activity.texts,
                    "rows": activity.rows,
                    "neurons": len(share),
                    "mean share": float(share.mean()),
                    "active per text": float(activity.active[name][results.place, :, layer].mean()),
                    "active at least once": int((share > 0).sum()),
                    "gap, median": float(np.median(activity.gap[:, layer, SUB_LAYERS.index(name)])),
                    "gap, 95%": float(np.quantile(activity.gap[:, layer, SUB_LAYERS.index(name)], 0.95)),
                    "P(1) - P(0), mean": float(activity.difference[:, layer, SUB_LAYERS.index(name)].mean()),
                }
            )
    return rows


def neurons(results: Results) -> list[Row]:
    """Give the share of every neuron that is active at least once, the largest of a layer first."""
    return [
        {**_place(activity, name, layer), "neuron": int(neuron), "share": float(share[neuron])}
        for activity, name in results.each()
        for layer, share in enumerate(results.shares(activity, name))
        for neuron in np.argsort(-share, kind="stable")[: int((share > 0).sum())]
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
        for layer, share in enumerate(results.shares(activity, name))
        for place, (start, number) in enumerate(zip(BINS[:-1], np.histogram(share, BINS)[0], strict=True))
    ]


def changes_by_layer(results: Results) -> list[Row]:
    """Give what changed in each layer and in all of them."""
    depth = results.found[0].activities[0].gap.shape[1]
    rows: list[Row] = []
    for layer in (None, *range(depth)):
        for one in results.changes(layer=layer):
            rows.append({"base": one.base.model, **_place(one.other, one.name, layer), **_columns(one.change)})
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
                    **found.get((activity.model, activity.kind, name), {}),
                }
            )
    return rows


def _place(activity: Activity, name: str, layer: int | None) -> dict[str, Any]:
    """Say what a row is about; layers are counted from 1, as the first block's."""
    number = "all" if layer is None else layer + 1
    return {"model": activity.model, "texts of": activity.kind, "sub-layer": name, "layer": number}


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
