"""The pooled states of every layer over a list of texts: a table like any other, shared by all probes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.probing.models import ProbedModel
from pipeline.retrieval.table import Table
from pipeline.retrieval.tabulate import tabulate

NUMBERS_AT_ONCE = 2**24
"""In one block of a table: 64 MiB, whatever the width and depth of the model."""


@dataclass(frozen=True)
class LayerStates:
    """Pooled states, on disk.

    Attributes:
        table: float32 [texts, (depth + 1) * width]: layer 0 first.
        depth: Number of layers, the 0th not counted.
        normalise: Whether states are given at length 1.
    """

    table: Table
    depth: int
    normalise: bool

    def __len__(self) -> int:
        return len(self.table)

    @property
    def width(self) -> int:
        """Numbers in the state of one layer."""
        return self.table.dimension // (self.depth + 1)

    def layer(self, number: int, rows: Sequence[int] | np.ndarray | slice = slice(None)) -> np.ndarray:
        """Read one layer's states.

        Args:
            number: From 0 to `depth`.
            rows: Which texts.

        Returns:
            float32 [rows, width], in memory.
        """
        columns = slice(number * self.width, (number + 1) * self.width)
        states = np.array(self.table.vectors[rows, columns])
        return states / np.linalg.norm(states, axis=1, keepdims=True) if self.normalise else states


def layer_states(
    model: ProbedModel, texts: Texts, kind: Kind, encoding: EncodingSettings, store: Path, label: str
) -> LayerStates:
    """Give the states of all layers, computing only what no earlier probe has computed; killed, it goes on by block.

    Args:
        model: Whose tower for this kind of text is looked into.
        texts: What to encode.
        kind: Whether they are queries or documents.
        encoding: Precision, batching and device.
        store: The folder shared between runs.
        label: What is encoded, for people.
    """
    tower = LayerwiseTower(model.tower(kind))
    window = max(64, min(encoding.window, NUMBERS_AT_ONCE // tower.dimension))
    table = tabulate(tower, texts, kind, replace(encoding, window=window), store, f"{label} by layer, {model.name}")
    return LayerStates(table, tower.depth, model.normalise)
