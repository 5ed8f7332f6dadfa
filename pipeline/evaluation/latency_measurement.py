"""Timing query encoding as it is served: all towers in turns on the same queries, so that noise hits them alike."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.evaluation.latency import BATCH_SIZES, BatchLatency, Latencies, ModelLatency, TowerLatency
from pipeline.progress import progress

QUERIES = 1024
"""How many of a split's queries are used, in its order: four batches of the largest size."""

SECONDS = 2.0
"""Time for each tower at each batch size; with two towers a model takes about 12 seconds."""

LEAST_TURNS, MOST_TURNS = 5, 500
"""A slow tower has so many turns whatever they take; a fast one gains nothing from more than the other number."""

WARM_UP_TURNS = 1
THREADS = 1
"""One, as a server has that answers a query on each core. Several wait for each other at every layer, so that on a
machine that does something else besides, two took 520 milliseconds for a query that one encodes in 8."""

TOKENIZERS_PARALLELISM = "TOKENIZERS_PARALLELISM"


def measure_latency(
    models: Iterable[tuple[str, str, DualEncoder]], queries: Sequence[str], settings: EncodingSettings
) -> Latencies:
    """Time the query tower and the document tower of every model; equal towers are timed once.

    All towers are in memory at once, because only what is measured in turns can be compared on a busy machine.

    Args:
        models: The name of the dense system, the model's name and the model; taken one by one.
        queries: Real queries, at least one; they are cycled through.
        settings: Where to encode, and how precisely.
    """
    encoders: dict[str, Encoder] = {}
    found: dict[str, tuple[str, list[str]]] = {}
    with pinned_threads():
        for system, name, model in models:
            towers = [model.query, model.document]
            # Both towers encode queries as queries, so that the ratio compares like with like.
            keys = [tower.fingerprint("query") for tower in towers]
            for key, tower in zip(keys, towers, strict=True):
                if key not in encoders:
                    encoders[key] = Encoder(tower, settings)
            found[system] = (name, keys)
        latencies = dict(zip(encoders, _in_turns(list(encoders.values()), queries), strict=True))
    measured = {system: ModelLatency(name, *(latencies[key] for key in keys)) for system, (name, keys) in found.items()}
    return Latencies(measured, THREADS, _device_name(settings.torch_device), settings.precision)


@contextmanager
def pinned_threads() -> Iterator[None]:
    """Compute and tokenise with `THREADS`, and give the threads back that there were, whatever happens.

    Tokenizers have a pool of their own, of a size that is fixed when it is first used; they can only leave it alone.
    """
    threads, parallel = torch.get_num_threads(), os.environ.get(TOKENIZERS_PARALLELISM)
    torch.set_num_threads(THREADS)
    os.environ[TOKENIZERS_PARALLELISM] = "false"  # asked anew for every batch of texts
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if parallel is None:
            del os.environ[TOKENIZERS_PARALLELISM]
        else:
            os.environ[TOKENIZERS_PARALLELISM] = parallel


def _in_turns(encoders: list[Encoder], queries: Sequence[str]) -> list[TowerLatency]:
    """Time all encoders at all batch sizes; returns what each of them took."""
    latencies: list[dict[int, BatchLatency]] = [{} for _ in encoders]
    with progress("Measuring latency", 100, "percent") as advance:
        for place, size in enumerate(BATCH_SIZES):
            tell = _percent(advance, place / len(BATCH_SIZES), (place + 1) / len(BATCH_SIZES))
            for latency, took in zip(latencies, _at_size(encoders, queries, size, tell), strict=True):
                latency[size] = took
    return list(latencies)


def _at_size(
    encoders: list[Encoder], queries: Sequence[str], size: int, tell: Callable[[float], None]
) -> list[BatchLatency]:
    """Time all encoders at one batch size, turn by turn; `tell` hears which share is done."""
    for turn in range(WARM_UP_TURNS):
        for encoder in encoders:
            _time(encoder, queries, turn * size, size)
    durations: list[list[tuple[float, float]]] = [[] for _ in encoders]
    start, turns, share = time.perf_counter(), 0, 0.0
    while share < 1:
        for encoder, of_encoder in zip(encoders, durations, strict=True):
            of_encoder.append(_time(encoder, queries, (WARM_UP_TURNS + turns) * size, size))
        turns += 1
        share = share_done(turns, time.perf_counter() - start, SECONDS * len(encoders))
        tell(share)
    return [BatchLatency.of(*zip(*of_encoder, strict=True)) for of_encoder in durations]


def _time(encoder: Encoder, queries: Sequence[str], first: int, size: int) -> tuple[float, float]:
    """Tokenise and encode one batch of queries; returns the seconds that each took."""
    batch = [queries[place % len(queries)] for place in range(first, first + size)]
    # The tower before has filled the caches with its own weights; one that serves finds its own there.
    encoder.encode([queries[(first - 1) % len(queries)]], "query")
    start = time.perf_counter()
    token_ids = encoder.tower.token_ids(batch, "query")
    tokenised = time.perf_counter()
    encoder.encode_tokens(token_ids)  # the vectors are in main memory, so that a GPU has finished
    return tokenised - start, time.perf_counter() - tokenised


def share_done(turns: int, seconds: float, budget: float) -> float:
    """Say which share of a measurement is done: there must be some turns, then either time or patience ends.

    Args:
        turns: How many there were.
        seconds: What they took.
        budget: What they may take.

    Returns:
        Up to 1, where it is finished.
    """
    return min(1.0, turns / LEAST_TURNS, max(seconds / budget, turns / MOST_TURNS))


def _percent(advance: Callable[[int], None], low: float, high: float) -> Callable[[float], None]:
    """Turn shares of one part of the work, which goes from `low` to `high`, into whole per cent of all."""
    told = round(100 * low)

    def tell(share: float) -> None:
        nonlocal told
        percent = round(100 * (low + (high - low) * share))
        advance(percent - told)
        told = percent

    return tell


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
