"""What every probe is: something that can refuse its input before work starts, and then finds something out."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pipeline.checks import whole_number
from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.encoders.encoding import EncodingSettings
from pipeline.probing.layer_states import LayerStates, layer_states
from pipeline.probing.models import ProbedModel
from pipeline.probing.outcome import Outcome
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.negatives import Negatives

Protocol = Literal["sound", "published"]
PROTOCOLS = ("sound", "published")


@dataclass(frozen=True)
class Subject:
    """What is looked into: models, on the texts of one split.

    Attributes:
        models: By name, in the order given; the first is what the others are compared with.
        dataset: Where the split comes from.
        split: Whose queries, documents and judgements are used.
        negatives: Where documents come from that do not answer a query.
        lexical: BM25, for negatives and as a system beside.
        encoding: How frozen towers make tables.
        store: Tables and kept results, shared between runs.
        protocol: `sound`, or `published`: the first paper's procedure, whose exceptions the findings name.
        seed: Fixes everything that is drawn.
        departures: Under `published`: which settings are not the paper's, each `name=value (the paper: value)`.
    """

    models: Mapping[str, ProbedModel]
    dataset: Dataset
    split: Split
    negatives: Negatives
    lexical: Bm25
    encoding: EncodingSettings
    store: Path
    protocol: Protocol
    seed: int
    departures: Sequence[str] = ()

    def states(self, model: str, texts: Texts, kind: Kind) -> LayerStates:
        """Give the states of all layers of a model over queries or documents."""
        label = "queries" if kind == "query" else "documents"
        return layer_states(self.models[model], texts, kind, self.encoding, self.store, label)

    def negative_positions(self) -> np.ndarray | None:
        """Positions among the split's documents of every query's negatives, [queries, depth], -1 where fewer."""
        return self.negatives.candidates(self.dataset, self.split, self.lexical, self.store)


class Probe(ABC):
    """One way of looking into encoders.

    Args:
        limit: Look at no more than so many queries, chosen by the hashes of their ids; None: all.
    """

    name: ClassVar[str]
    needs_pair: ClassVar[bool] = False
    """Whether models are compared part by part, and must be at least two of one architecture."""

    reads_layers: ClassVar[bool] = False
    """Whether states are read as `layer_states` gives them, which is where a model's `normalise` has its place."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = None if limit is None else whole_number("probe.limit", limit)

    @abstractmethod
    def prepare(self, subject: Subject) -> None:
        """Refuse, before anything is computed, what cannot work.

        Raises:
            UserError: Saying what does not fit.
        """

    def idle(self, protocol: Protocol) -> set[str]:
        """Name the settings, or whole groups, that have no say in what it finds, as it is set: a user must not give them."""
        return {"negatives", "protocol"}

    def inputs(self, subject: Subject) -> dict[str, str]:
        """Fingerprint what findings are made from, by what it is of; a probe that reads more names that too."""
        towers = {
            f"{kind} tower of {name}": model.tower(kind).fingerprint(kind)
            for name, model in subject.models.items()
            for kind in model.kinds
        }
        return {"dataset": subject.dataset.fingerprint} | towers

    @abstractmethod
    def run(self, subject: Subject) -> Outcome:
        """Find out."""

    def chosen_queries(self, split: Split) -> np.ndarray:
        """Positions of the queries that are looked at, ascending."""
        ids = split.queries.ids()
        if self.limit is None or self.limit >= len(ids):
            return np.arange(len(ids))
        return np.sort(np.argsort(np.array([_hash(identifier) for identifier in ids]), kind="stable")[: self.limit])


def _hash(identifier: str) -> str:
    """Order ids by something that no order of a file changes."""
    return hashlib.sha256(identifier.encode()).hexdigest()
