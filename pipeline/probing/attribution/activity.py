"""Which neurons are active for which texts: computed in pieces that are kept, and counted without holding them all."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.encoders.backbones import Kind
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.files import digest_of
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS, TOKEN_BUDGET, Attribution, Attributor
from pipeline.probing.attribution.method import Method
from pipeline.probing.attribution.pooler import read_pooler
from pipeline.probing.attribution.targets import Along, Norm, PoolerNorm, Target
from pipeline.probing.attribution.texts import UniqueTexts
from pipeline.probing.kept import Arrays, kept
from pipeline.probing.probe import Subject
from pipeline.progress import progress

TEXTS_IN_PIECE = 32
"""Lost at most when a probe is killed."""
GPU_TOKEN_BUDGET = 16_384
FORMAT = 2
"""Counts up whenever a piece holds something else."""


def cut_to(tower: TransformerTower, max_length: int) -> TransformerTower:
    """Give the same tower, of the same weights, with texts cut shorter."""
    cut = copy.copy(tower)
    cut.tokenizer = tower.tokenizer.cut_to(max_length)
    return cut


class Pieces:
    """The activity of one model's neurons over many texts, a piece at a time.

    Args:
        subject: What is looked into.
        name: Of the model.
        texts: The texts; those of like length stand together.
        directions: What they are looked at along, [texts, dimension]; None for the norm.
        method: How.
    """

    def __init__(
        self,
        subject: Subject,
        name: str,
        texts: UniqueTexts,
        directions: np.ndarray | None,
        method: Method,
    ) -> None:
        self.subject, self.name, self.kind, self.method = subject, name, texts.kind, method
        self.texts = texts.read(subject, subject.models[name], " " if method.published else None)
        self.ids, self.rows, self.directions = texts.ids(subject), texts.rows, directions
        tower = subject.models[name].tower(self.kind)
        self.tower = cut_to(tower, method.length(tower))
        self.fingerprint = self.tower.fingerprint(self.kind)
        self._attributor: Attributor | None = None

    def __len__(self) -> int:
        return -(-len(self.texts) // TEXTS_IN_PIECE)

    def compute(self) -> None:
        """Make the pieces that nobody has made."""
        kind = "queries" if self.kind == "query" else "documents"
        with progress(f"Attributing {kind}, {self.name}", len(self.texts), "texts") as advance:
            for number in range(len(self)):
                advance(len(self.piece(number)["gap"]))
        self._attributor = None  # the copy of the weights

    def piece(self, number: int) -> Arrays:
        """Give one piece.

        Returns:
            `inner` and `outer`: whether each neuron is active, packed into bits, uint8
            [thresholds, texts, layers, neurons / 8]; `difference`, `gap` and `points`, [texts, layers, 2].
        """
        rows = slice(number * TEXTS_IN_PIECE, (number + 1) * TEXTS_IN_PIECE)
        texts = self.texts[rows]
        along = None if self.directions is None else np.ascontiguousarray(self.directions[rows])
        made_from = {
            "tower": self.fingerprint,
            "kind": self.kind,
            "texts": digest_of(texts),
            "along": None if along is None else hashlib.sha256(along.astype(np.float32).tobytes()).hexdigest(),
            "format": FORMAT,
            **self.method.description(self.name),
        }
        return kept(self.subject.store, "attribution", made_from, lambda: self._made(texts, along))

    def _made(self, texts: list[str], along: np.ndarray | None) -> Arrays:
        if self._attributor is None:
            device = self.subject.encoding.torch_device
            usual = TOKEN_BUDGET if device.type == "cpu" else GPU_TOKEN_BUDGET
            self._attributor = Attributor(self.tower, device, self.subject.encoding.token_budget or usual)
        ids = self.tower.token_ids(texts, self.kind)
        return _packed(
            self._attributor.attribute(ids, self.method.quadrature, self._target(along)), self.method.thresholds
        )

    def _target(self, along: np.ndarray | None) -> Target:
        if along is not None:
            return Along(along)
        if self.method.targets[self.name] == "norm":
            return Norm()
        return PoolerNorm(read_pooler(self.tower, self.name).to(self.subject.encoding.torch_device))


def _packed(found: Attribution, thresholds: Sequence[float]) -> Arrays:
    """Keep of a piece what reports need."""
    largest = np.maximum(found.inner.max(axis=(1, 2)), found.outer.max(axis=(1, 2)))[:, None, None]
    bits = {
        name: np.stack([np.packbits(getattr(found, name) > threshold * largest, axis=-1) for threshold in thresholds])
        for name in SUB_LAYERS
    }
    return {**bits, "difference": found.difference, "gap": found.gap, "points": found.points}


@dataclass(frozen=True)
class Activity:
    """How often one model's neurons are active.

    Attributes:
        model: Its name.
        kind: Of the texts.
        ids: Of every text one of its ids, [texts].
        max_length: Tokens that they were cut to.
        rows: How many pairs of a query and a relevant document they come from.
        counts: By sub-layer, the texts for which each neuron is active, int64 [thresholds, layers, neurons].
        active: By sub-layer, how many neurons are active for each text, int64 [thresholds, texts, layers].
        gap: Completeness gaps, [texts, layers, 2].
        difference: P(1) - P(0), [texts, layers, 2].
        points: Where on the path the gradient was taken, int64 [texts, layers, 2].
    """

    model: str
    kind: Kind
    ids: Sequence[str]
    max_length: int
    rows: int
    counts: Mapping[str, np.ndarray]
    active: Mapping[str, np.ndarray]
    gap: np.ndarray
    difference: np.ndarray
    points: np.ndarray

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.ids)


def count(pieces: Pieces, sizes: Mapping[str, int]) -> Activity:
    """Count over all pieces.

    Args:
        pieces: Of one model.
        sizes: By sub-layer, how many neurons a layer has.
    """
    counts: dict[str, np.ndarray] = {}
    active: dict[str, list[np.ndarray]] = {name: [] for name in SUB_LAYERS}
    rest: dict[str, list[np.ndarray]] = {"gap": [], "difference": [], "points": []}
    for piece in (pieces.piece(number) for number in range(len(pieces))):
        for name in SUB_LAYERS:
            bits = np.unpackbits(piece[name], axis=-1, count=sizes[name])
            counts[name] = counts.get(name, 0) + bits.sum(axis=1, dtype=np.int64)
            active[name].append(bits.sum(axis=-1, dtype=np.int64))
        for name, parts in rest.items():
            parts.append(piece[name])
    joined = {name: np.concatenate(parts, axis=1) for name, parts in active.items()}
    whole = {name: np.concatenate(parts) for name, parts in rest.items()}
    return Activity(pieces.name, pieces.kind, pieces.ids, pieces.tower.max_length, pieces.rows, counts, joined, **whole)


def shared(first: Pieces, second: Pieces) -> dict[str, np.ndarray]:
    """Count, text by text, the neurons that are active in both models.

    Args:
        first: One model's pieces.
        second: The other's, of the same texts.

    Returns:
        By sub-layer, int64 [thresholds, texts, layers].
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in SUB_LAYERS}
    for number in range(len(first)):
        one, two = first.piece(number), second.piece(number)
        for name, parts in found.items():
            parts.append(_ones(one[name] & two[name]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _ones(bits: np.ndarray) -> np.ndarray:
    """Count the ones of the last dimension."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
