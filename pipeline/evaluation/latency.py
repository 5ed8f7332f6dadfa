"""How long towers take to encode queries: percentiles, ratios, and the rows and words that say them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH_SIZES = (1, 32, 256)
"""Queries encoded at once: one user's, a busy server's, and a file's."""

HEADER = [
    "model",
    "side",
    "batch_size",
    "tokenization_p50_ms",
    "tokenization_p95_ms",
    "encoding_p50_ms",
    "encoding_p95_ms",
    "both_p50_ms",
    "both_p95_ms",
    "times_faster_encoding",
    "times_faster_both",
    "batches",
    "threads",
    "device",
    "precision",
]


@dataclass(frozen=True)
class Percentiles:
    """The median and the 95th percentile of several durations, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float] | np.ndarray) -> "Percentiles":
        """Take the percentiles of durations in seconds, between two of them where need be."""
        p50, p95 = np.percentile(np.asarray(seconds, dtype=np.float64) * 1000, [50, 95])
        return cls(float(p50), float(p95))


@dataclass(frozen=True)
class BatchLatency:
    """One tower at one batch size, in milliseconds a batch.

    Attributes:
        tokenization: From texts to token ids.
        encoding: From token ids to vectors in main memory.
        both: The two together, batch by batch.
        batches: How many were timed.
    """

    tokenization: Percentiles
    encoding: Percentiles
    both: Percentiles
    batches: int

    @classmethod
    def of(cls, tokenization: Sequence[float], encoding: Sequence[float]) -> "BatchLatency":
        """Sum up the durations of several batches, in seconds, both [batches]."""
        both = np.add(tokenization, encoding)
        return cls(Percentiles.of(tokenization), Percentiles.of(encoding), Percentiles.of(both), len(both))


TowerLatency = Mapping[int, BatchLatency]
"""Batch size -> what it took."""


@dataclass(frozen=True)
class ModelLatency:
    """The two towers of a model over the same queries; of a symmetric model, both are the one measurement.

    Attributes:
        name: What the user calls the model.
        query: The query tower.
        document: The document tower, which encodes queries as queries too.
    """

    name: str
    query: TowerLatency
    document: TowerLatency

    @property
    def symmetric(self) -> bool:
        """Whether one tower serves both sides."""
        return self.query is self.document

    def rows(self) -> Iterator[list[Any]]:
        """Give the model's rows of `latency.csv`, the machine left out."""
        for side, tower in (("query", self.query), ("document", self.document)):
            for size, took in tower.items():
                slow = self.document[size]
                parts = (took.tokenization, took.encoding, took.both)
                milliseconds = [f"{value:.4f}" for part in parts for value in (part.p50, part.p95)]
                ratios = [slow.encoding.p50 / took.encoding.p50, slow.both.p50 / took.both.p50]
                yield [self.name, side, size, *milliseconds, *(f"{ratio:.4g}" for ratio in ratios), took.batches]


@dataclass(frozen=True)
class Latencies:
    """Several models, measured in turns on one machine.

    Attributes:
        models: By the name of the dense system that each makes.
        threads: How many were computed with.
        device: Where was encoded: `cpu`, or a GPU's name.
        precision: What encoding was asked to compute in; a static tower only looks up, always in float32.
    """

    models: dict[str, ModelLatency]
    threads: int
    device: str
    precision: str

    @classmethod
    def read(cls, path: Path, systems: Sequence[str]) -> "Latencies":
        """Read `latency.csv` again.

        Args:
            path: The file.
            systems: What each model's dense system is called, in the order of the models.
        """
        towers: dict[str, dict[str, dict[int, BatchLatency]]] = {}
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                tokenization, encoding, both = (
                    Percentiles(float(row[f"{part}_p50_ms"]), float(row[f"{part}_p95_ms"]))
                    for part in ("tokenization", "encoding", "both")
                )
                sides = towers.setdefault(row["model"], {}).setdefault(row["side"], {})
                sides[int(row["batch_size"])] = BatchLatency(tokenization, encoding, both, int(row["batches"]))
        models = {
            system: ModelLatency(name, of["query"], of["document"])
            for system, (name, of) in zip(systems, towers.items(), strict=True)
        }
        return cls(models, int(row["threads"]), row["device"], row["precision"])

    def rows(self) -> Iterator[list[Any]]:
        """Give the rows of `latency.csv`, in the order of `HEADER`."""
        for model in self.models.values():
            for row in model.rows():
                yield [*row, self.threads, self.device, self.precision]

    def cell(self, system: str) -> str:
        """Say in a table how long one query takes, in milliseconds; nothing for systems that are no single encoder."""
        if system not in self.models:
            return ""
        query, document = self.models[system].query[1].both.p50, self.models[system].document[1].both.p50
        ratio = document / query
        return f"{query:.2f} ({ratio:.0f}×)" if ratio >= 10 or ratio == 1 else f"{query:.2f} ({ratio:.1f}×)"

    def caption(self) -> str:
        """Say what the column rests on."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"query ms: median to tokenise and encode one query (batch 1, {threads}, {self.device}, {self.precision}); "
            "in brackets, how many times faster than by the document tower."
        )
