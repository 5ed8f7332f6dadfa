"""The work of the linear probe in pieces, each computed once and kept: a killed probe goes on after the last one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.files import digest_of
from pipeline.probing.kept import Arrays, kept
from pipeline.probing.layer_states import LayerStates
from pipeline.probing.linear.data import RowData, Scaling, load
from pipeline.probing.linear.families import FAMILIES
from pipeline.probing.linear.layers import NUMBERS_AT_ONCE, Design, Parts, probe_layers
from pipeline.probing.linear.rows import CandidateRows, documents_seen
from pipeline.probing.probe import Subject


@dataclass(frozen=True)
class Material:
    """The rows that are probed, and what each is for.

    Attributes:
        learning: The rows for training and validation.
        tested: The rows for the test; the same object where one split serves for all.
        training: Row numbers in `learning`.
        validation: Row numbers in `learning`.
        test: Row numbers in `tested`.
        divided: Whether all come from one split.
    """

    learning: CandidateRows
    tested: CandidateRows
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    divided: bool

    @property
    def seen(self) -> dict[int, float]:
        """Give, by N, the share of test rows whose candidates were all seen in training; of two splits nothing."""
        if self.tested is not self.learning:
            return {}
        return {n: documents_seen(self.learning, n, self.training, self.test) for n in self.learning.orders}

    @cached_property
    def fingerprint(self) -> str:
        """Name everything that decides which row is what."""
        arrays = [self.training, self.validation, self.test]
        for rows in (self.learning, self.tested):
            arrays += [rows.questions, rows.documents, *rows.orders.values()]
            arrays += [] if rows.pool is None else [rows.pool]
        return digest_of([hashlib.sha256(array.astype("<i8").tobytes()).hexdigest() for array in arrays])


class Pieces:
    """The pieces of one model: each a kind of probe on as many layers as fit into memory.

    Args:
        subject: What is looked into.
        model: The model's name.
        material: The rows.
        design: What is trained.
    """

    def __init__(self, subject: Subject, model: str, material: Material, design: Design) -> None:
        self.subject, self.material, self.design = subject, material, design
        self.learning = self._states(model, material.learning)
        self.tested = self._states(model, material.tested)
        self._loaded: dict[tuple[int, ...], tuple[RowData, RowData]] = {}

    def _states(self, model: str, rows: CandidateRows) -> tuple[LayerStates, LayerStates]:
        queries = self.subject.states(model, rows.query_texts, "query")
        return queries, self.subject.states(model, rows.document_texts, "document")

    def of(self, layers: list[int], probes: list[str], advance: Callable[[int], None]) -> dict[str, Arrays]:
        """Train and test all kinds of probe on all layers.

        Args:
            layers: Which.
            probes: Kinds, by name.
            advance: Called with the number of layers just done by one kind.

        Returns:
            By kind: what `probe_layers` gives, [layers, ...].
        """
        found: dict[str, list[Arrays]] = {probe: [] for probe in probes}
        at_once = self.layers_at_once()
        for start in range(0, len(layers), at_once):
            part = layers[start : start + at_once]
            for probe in probes:
                found[probe].append(self._piece(probe, part))
                advance(len(part))
        self._loaded.clear()  # before the next model's states are read
        return {
            probe: {name: np.concatenate([arrays[name] for arrays in parts]) for name in parts[0]}
            for probe, parts in found.items()
        }

    def layers_at_once(self) -> int:
        """How many layers' states fit into memory, with the pairs that some kinds of probe make of them."""
        splits = [self.learning] if self.material.tested is self.material.learning else [self.learning, self.tested]
        texts = sum(len(states) for split in splits for states in split)
        rows = min(self.design.recipe.batch_size, len(self.material.training))
        pairs = (max(self.design.candidates) + 1) * rows
        return max(1, NUMBERS_AT_ONCE // ((4 * texts + pairs) * self.learning[0].width))

    def _piece(self, probe: str, layers: list[int]) -> Arrays:
        states = [*self.learning, *self.tested]
        made_from = {
            "probe": probe,
            "layers": layers,
            "states": [[part.table.key, part.table.texts_fingerprint, part.normalise] for part in states],
            "rows": self.material.fingerprint,
            "design": self.design.made_from(),
            "protocol": self.subject.protocol,
        }
        return kept(self.subject.store, "linear", made_from, lambda: self._compute(probe, layers))

    def _compute(self, probe: str, layers: list[int]) -> Arrays:
        family, material = FAMILIES[probe], self.material
        learning, tested = self._load(tuple(layers))
        training = learning.subset(material.training)
        parts = [training, learning.subset(material.validation), tested.subset(material.test)]
        if self.subject.protocol == "sound":  # the first paper leaves states as they are
            scaling = (Scaling.of if family.standardised else Scaling.of_length)(training)
            parts = [part.scaled(scaling) for part in parts]
        return probe_layers(family, Parts(*parts), self.design)

    def _load(self, layers: tuple[int, ...]) -> tuple[RowData, RowData]:
        """Read the states of some layers for the rows to learn from and to be tested on; kept for the next kind."""
        if layers not in self._loaded:
            self._loaded.clear()
            material, seed, device = self.material, self.design.seed, self.subject.encoding.torch_device
            learning = load(material.learning, *self.learning, layers, seed, device)
            same = material.tested is material.learning
            self._loaded[layers] = (
                learning,
                learning if same else load(material.tested, *self.tested, layers, seed, device),
            )
        return self._loaded[layers]
