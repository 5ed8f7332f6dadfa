"""What attribution found of all models, at any threshold and in any layers: what tables and sentences are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.encoders.backbones import Kind
from pipeline.probing.attribution.activity import Activity
from pipeline.probing.attribution.activity_change import Change, change
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS
from pipeline.probing.attribution.method import Method
from pipeline.probing.attribution.quadrature import TOLERANCE

PLURAL = {"query": "queries", "document": "documents"}


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


@dataclass(frozen=True)
class Changed:
    """What changed between two models in one kind of sub-layer.

    Attributes:
        base: The one.
        other: The other, on the same texts.
        name: Of the sub-layer.
        change: What changed.
    """

    base: Activity
    other: Activity
    name: str
    change: Change


class Results:
    """What was found, with one threshold that reports are about.

    Args:
        found: Of each kind of text.
        method: How it was found; as published, shares are of pairs of a query and a document, not of unique texts.
        seed: Of the bootstrap.
    """

    def __init__(self, found: Sequence[Compared], method: Method, seed: int) -> None:
        self.found, self.method, self.seed = found, method, seed
        self.threshold, self.place = method.threshold, list(method.thresholds).index(method.threshold)
        own = method.quadrature.tolerance
        self.tolerance = own if np.isfinite(own) else TOLERANCE
        self._changes: dict[tuple[int, int | None], list[Changed]] = {}

    def shares(self, activity: Activity, name: str) -> np.ndarray:
        """Give the share of texts for which each neuron is active, [layers, neurons]."""
        whole = activity.rows if self.method.published else activity.texts
        return activity.counts[name][self.place] / whole

    def each(self) -> Iterator[tuple[Activity, str]]:
        """Give every model, on texts of every kind, with each sub-layer's name."""
        for compared in self.found:
            for activity in compared.activities:
                for name in SUB_LAYERS:
                    yield activity, name

    def changes(self, place: int | None = None, layer: int | None = None) -> list[Changed]:
        """Compare every model with the base; intervals are drawn once, however often they are asked for.

        Args:
            place: Of the threshold; None: the one that reports are about.
            layer: From 0; None: all of them together.
        """
        key = (self.place if place is None else place, layer)
        if key not in self._changes:
            self._changes[key] = list(self._compare(*key))
        return self._changes[key]

    def _compare(self, place: int, layer: int | None) -> Iterator[Changed]:
        layers = slice(None) if layer is None else slice(layer, layer + 1)
        for compared in self.found:
            base, *others = compared.activities
            for other, both in zip(others, compared.both, strict=True):
                for name in SUB_LAYERS:
                    found = change(base, other, both[name], name, place, layers, self.seed)
                    yield Changed(base, other, name, found)
