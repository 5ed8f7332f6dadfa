"""Attributions as tables, pictures and sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.encoders.backbones import Kind
from pipeline.probing.attribution.activity import Activity, Method
from pipeline.probing.attribution.activity_change import Change, change
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS
from pipeline.probing.attribution.pictures import pictures
from pipeline.probing.outcome import Outcome, Row
from pipeline.probing.statistics import Interval

PLURAL = {"query": "queries", "document": "documents"}
WIDE_GAP = 0.1
"""From here on the completeness gap of all differences together is warned of."""
BINS = np.array([0, 1e-9, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1 + 1e-9])
"""Edges of the distribution of shares; the first bin holds the neurons that are never active."""


@dataclass(frozen=True)
class Compared:
    """All models on the texts of one kind.

    Attributes:
        kind: Queries or documents.
        activities: Of all models, the base first.
        both: For every model but the base and by sub-layer, neurons active in it and the base, text by text.
    """

    kind: Kind
    activities: Sequence[Activity]
    both: Sequence[dict[str, np.ndarray]]


class Reported:
    """Writes out what was found at one threshold.

    Args:
        found: Of each kind of text.
        method: How it was found.
        threshold: Which of the method's thresholds reports are about.
        protocol: Under `published`, shares are of pairs of a query and a document, and not of unique texts.
        seed: Of the bootstrap.
    """

    def __init__(self, found: Sequence[Compared], method: Method, threshold: float, protocol: str, seed: int) -> None:
        self.found, self.method, self.protocol, self.seed = found, method, protocol, seed
        self.threshold, self.place = threshold, list(method.thresholds).index(threshold)

    def shares(self, activity: Activity, name: str) -> np.ndarray:
        """Give the share of texts for which each neuron is active, [layers, neurons]."""
        whole = activity.rows if self.protocol == "published" else activity.texts
        return activity.counts[name][self.place] / whole

    def each(self) -> Iterator[tuple[Activity, str]]:
        """Give every model, on texts of every kind, with each sub-layer's name."""
        for compared in self.found:
            for activity in compared.activities:
                for name in SUB_LAYERS:
                    yield activity, name

    def changes(self, layers: slice, place: int | None = None) -> Iterator[tuple[Activity, Activity, str, Change]]:
        """Compare every model with the base."""
        for compared in self.found:
            base, *others = compared.activities
            for other, both in zip(others, compared.both, strict=True):
                for name in SUB_LAYERS:
                    at = self.place if place is None else place
                    yield base, other, name, change(base, other, both[name], name, at, layers, self.seed)

    def summary(self) -> list[Row]:
        """What a person wants to see first: a row for each model, kind of text and sub-layer."""
        changes = {(other.model, other.kind, name): found for _, other, name, found in self.changes(slice(None))}
        rows: list[Row] = []
        for activity, name in self.each():
            counts = activity.counts[name][self.place]
            row: dict[str, Any] = {
                "model": activity.model,
                "texts": f"{activity.texts} {PLURAL[activity.kind]}",
                "sub-layer": name,
                "active": float(activity.active[name][self.place].sum(axis=1).mean()),
                "at least once": f"{int((counts > 0).sum())} of {counts.size}",
                "gap": float(np.median(activity.gap[..., SUB_LAYERS.index(name)])),
            }
            found = changes.get((activity.model, activity.kind, name))
            if found:
                row |= {"change, %": _spoken(found.activations, 1), "overlap": _spoken(found.overlap, 3)}
            rows.append(row)
        return rows

    def layers(self) -> list[Row]:
        """Give what is active by layer."""
        rows: list[Row] = []
        for activity, name in self.each():
            shares = self.shares(activity, name)
            for layer, share in enumerate(shares):
                rows.append(
                    {
                        **_place(activity, name, layer),
                        "texts": activity.texts,
                        "rows": activity.rows,
                        "neurons": len(share),
                        "mean share": float(share.mean()),
                        "active per text": float(activity.active[name][self.place, :, layer].mean()),
                        "active at least once": int((share > 0).sum()),
                        "gap, median": float(np.median(activity.gap[:, layer, SUB_LAYERS.index(name)])),
                        "gap, 95%": float(np.quantile(activity.gap[:, layer, SUB_LAYERS.index(name)], 0.95)),
                        "P(1) - P(0), mean": float(activity.difference[:, layer, SUB_LAYERS.index(name)].mean()),
                    }
                )
        return rows

    def neurons(self) -> list[Row]:
        """Give the share of every neuron that is active at least once, the largest of a layer first."""
        return [
            {**_place(activity, name, layer), "neuron": int(neuron), "share": float(share[neuron])}
            for activity, name in self.each()
            for layer, share in enumerate(self.shares(activity, name))
            for neuron in np.argsort(-share, kind="stable")[: int((share > 0).sum())]
        ]

    def distribution(self) -> list[Row]:
        """Count neurons by their share."""
        return [
            {
                **_place(activity, name, layer),
                "share from": 0.0 if start < 1e-6 else float(start),
                "share below": "never active" if not place else float(min(BINS[place + 1], 1)),
                "neurons": int(number),
            }
            for activity, name in self.each()
            for layer, share in enumerate(self.shares(activity, name))
            for place, (start, number) in enumerate(zip(BINS[:-1], np.histogram(share, BINS)[0], strict=True))
        ]

    def changes_by_layer(self) -> list[Row]:
        """Give what changed in each layer and in all of them."""
        depth = self.found[0].activities[0].gap.shape[1]
        rows: list[Row] = []
        for layer in (None, *range(depth)):
            layers = slice(None) if layer is None else slice(layer, layer + 1)
            for base, other, name, found in self.changes(layers):
                rows.append({"base": base.model, **_place(other, name, layer), **_columns(found)})
        return rows

    def sweep(self) -> list[Row]:
        """Give what changes with the threshold."""
        rows: list[Row] = []
        for place, threshold in enumerate(self.method.thresholds):
            found = {(o.model, o.kind, name): _columns(c) for _, o, name, c in self.changes(slice(None), place)}
            for activity, name in self.each():
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

    def findings(self, sweep: Sequence[Row]) -> list[str]:
        """Say what changed, whether it holds at other thresholds, and how far the integral can be trusted."""
        found = [self._changed(*compared, sweep) for compared in self.changes(slice(None))]
        return [self._method(), *found, *self._gaps()]

    def _method(self) -> str:
        """Say what was done."""
        quadrature = self.method.quadrature.description()
        points = f"{quadrature['name']}, {quadrature['points']} points"
        whole = "pairs of a query and a document, each text counted once (as published)"
        of = whole if self.protocol == "published" else "unique texts"
        return (
            f"Target {self.method.target}, quadrature {points}; a neuron is active where its attribution is above"
            f" {self.threshold:g} of the text's largest over all sub-layers; shares are of {of}."
        )

    def _changed(self, base: Activity, other: Activity, name: str, found: Change, sweep: Sequence[Row]) -> str:
        """Say what changed between two models in one kind of sub-layer."""
        interval, texts = found.activations, PLURAL[other.kind]
        if np.isnan(interval.mean):
            return f"On {texts}, {base.model} has no active {name} neuron at {self.threshold:g}; nothing to compare."
        more = "more" if interval.mean > 0 else "fewer"
        said = f"activates {more} neurons than" if interval.excludes_zero else "activates about as many as"
        signs = [
            float(np.sign(row["change, %"])) if row["low"] > 0 or row["high"] < 0 else 0.0
            for row in sweep
            if (row["model"], row["texts"], row["sub-layer"]) == (other.model, other.kind, name)
            and not np.isnan(row["change, %"])
        ]
        own = float(np.sign(interval.mean)) if interval.excludes_zero else 0.0
        return (
            f"On {other.texts} {texts}, {other.model} {said} {base.model} ({name}): {_spoken(interval, 1)}% (95%"
            f" interval, bootstrap over texts), and {found.at_least_once:+.1f}% of those"
            f" active at least once; of a text's active neurons, {_spoken(found.overlap, 3)} are shared (Jaccard),"
            f" {found.overlap_at_least_once:.3f} of those active at least once."
            f" The same is concluded at {signs.count(own)} of {len(signs)} thresholds."
        )

    def _gaps(self) -> list[str]:
        """Say how complete attributions are, and warn where they are not."""
        said = []
        for compared in self.found:
            for activity in compared.activities:
                off = activity.gap * np.abs(activity.difference)
                whole = float(off.sum() / max(np.abs(activity.difference).sum(), 1e-30))
                wide = " Wide: give more points, or probe.quadrature.name=adaptive." if whole > WIDE_GAP else ""
                said.append(
                    f"{activity.model} on {PLURAL[compared.kind]}: attributions add up to P(1) - P(0) but for"
                    f" {100 * float(np.median(activity.gap)):.2f}% (median over texts and sub-layers; 95% of them within"
                    f" {100 * float(np.quantile(activity.gap, 0.95)):.1f}%, which is large where P(1) - P(0) is near 0),"
                    f" and but for {100 * whole:.2f}% of all differences together.{wide}"
                )
        return said


def report(found: Sequence[Compared], method: Method, threshold: float, protocol: str, seed: int) -> Outcome:
    """Write out what was found; see `Reported`."""
    reported = Reported(found, method, threshold, protocol, seed)
    sweep = reported.sweep()
    tables = {
        "layers": reported.layers(),
        "neurons": reported.neurons(),
        "distribution": reported.distribution(),
        "thresholds": sweep,
    }
    if len(found[0].activities) > 1:
        tables["changes"] = reported.changes_by_layer()
    shares = {
        (activity.kind, name, activity.model): reported.shares(activity, name) for activity, name in reported.each()
    }
    return Outcome(reported.summary(), tables, reported.findings(sweep), pictures(shares, sweep, threshold))


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


def _spoken(interval: Interval, digits: int) -> str:
    return f"{interval.mean:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
