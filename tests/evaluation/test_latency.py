"""What encoding a query takes: percentiles, who is timed and how often, and what the machine looks like meanwhile."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import Twin, build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import Mean
from pipeline.evaluation import latency_measurement
from pipeline.evaluation.latency import BATCH_SIZES, HEADER, BatchLatency, Latencies, ModelLatency
from pipeline.evaluation.latency_measurement import (
    LEAST_TURNS,
    MOST_TURNS,
    THREADS,
    measure_latency,
    pinned_threads,
    share_done,
)
from tests.evaluation.conftest import save_tiny_model

SETTINGS = EncodingSettings(device="cpu")
QUERIES = ["what a wing is", "heat", "flow of 2 gases"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Leave out what is waited for; what is counted stays."""
    monkeypatch.setattr(latency_measurement, "SECONDS", 0.01)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> DualEncoder:
    return DualEncoder.load(save_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny"))


@pytest.fixture(scope="module")
def light(tmp_path_factory, tiny) -> DualEncoder:
    """A query tower of its own beside the document tower of `tiny`."""
    other = DualEncoder.load(save_tiny_model(tmp_path_factory.mktemp("other") / "other", seed=1))
    return DualEncoder(other.query, tiny.document)


def counted(tower, monkeypatch) -> list[int]:
    """Note the size of every batch that a tower tokenises, besides doing so."""
    sizes: list[int] = []
    tokenise = tower.token_ids

    def noted(texts, kind):
        assert kind == "query"
        sizes.append(len(texts))
        return tokenise(texts, kind)

    monkeypatch.setattr(tower, "token_ids", noted)
    return sizes


def milliseconds(query: float, document: float, **machine) -> Latencies:
    """One model whose towers take so many milliseconds a query, half of it for tokens."""
    towers = [
        {size: BatchLatency.of([each * size / 2000] * 5, [each * size / 2000] * 5) for size in BATCH_SIZES}
        for each in (query, document)
    ]
    return Latencies({"dense": ModelLatency("mine", *towers)}, **{"threads": 2, "device": "cpu", **machine})


# --- figures


def test_percentiles_are_numpys_in_milliseconds():
    generator = np.random.default_rng(0)
    tokenization, encoding = generator.gamma(2, 1e-3, size=(2, 37))
    took = BatchLatency.of(list(tokenization), list(encoding))
    for ours, seconds in (
        (took.tokenization, tokenization),
        (took.encoding, encoding),
        (took.both, tokenization + encoding),
    ):
        assert ours.p50 == pytest.approx(1000 * np.percentile(seconds, 50))
        assert ours.p95 == pytest.approx(1000 * np.percentile(seconds, 95))
    assert took.batches == 37


def test_rows_hold_every_side_and_size_with_the_ratio_to_the_document_tower():
    rows = [dict(zip(HEADER, row, strict=True)) for row in milliseconds(0.5, 45.0, precision="float32").rows()]
    assert [(row["side"], row["batch_size"]) for row in rows] == [
        (side, size) for side in ("query", "document") for size in BATCH_SIZES
    ]
    assert {row["times_faster_both"] for row in rows[:3]} == {"90"}
    assert {row["times_faster_encoding"] for row in rows[3:]} == {"1"}
    assert rows[1] == rows[1] | {
        "model": "mine",
        "encoding_p50_ms": "8.0000",
        "both_p95_ms": "16.0000",
        "batches": 5,
        "threads": 2,
        "device": "cpu",
        "precision": "float32",
    }


def test_the_tables_cell_and_caption_say_what_was_measured():
    latency = milliseconds(0.5, 45.0, precision="bfloat16")
    assert latency.cell("dense") == "0.50 (90×)"
    assert latency.cell("bm25") == latency.cell("hybrid") == ""
    assert milliseconds(2.0, 3.0, precision="float32").cell("dense") == "2.00 (1.5×)"
    assert milliseconds(2.0, 2.0, precision="float32").cell("dense") == "2.00 (1×)"
    assert "(batch 1, 2 threads, cpu, bfloat16)" in latency.caption()
    assert "1 thread," in replace(latency, threads=1).caption()


# --- measuring


def test_both_towers_encode_the_same_queries_at_every_size(light, monkeypatch):
    sizes = [counted(tower, monkeypatch) for tower in (light.query, light.document)]
    latency = measure_latency([("dense", "light", light)], QUERIES, SETTINGS)
    assert sizes[0] == sizes[1]
    assert set(sizes[0]) == set(BATCH_SIZES)
    model = latency.models["dense"]
    assert not model.symmetric
    for tower in (model.query, model.document):
        assert list(tower) == list(BATCH_SIZES)
        for took in tower.values():
            assert LEAST_TURNS <= took.batches <= MOST_TURNS
            assert 0 < took.encoding.p50 <= took.encoding.p95
            assert max(took.tokenization.p50, took.encoding.p50) <= took.both.p50
    assert (latency.device, latency.precision) == ("cpu", "float32")


def test_a_symmetric_model_is_timed_once_and_its_ratio_is_1(tiny, monkeypatch):
    sizes = counted(tiny.query, monkeypatch)
    latency = measure_latency([("dense", "tiny", tiny)], QUERIES, SETTINGS)
    assert latency.models["dense"].symmetric
    assert sizes.count(256) == latency.models["dense"].query[256].batches + latency_measurement.WARM_UP_TURNS
    ratios = [row[HEADER.index(f"times_faster_{part}")] for row in latency.rows() for part in ("encoding", "both")]
    assert ratios == ["1"] * len(ratios) == ["1"] * 2 * 2 * len(BATCH_SIZES)


def test_towers_that_are_equal_are_timed_once(tiny, light, tmp_path):
    folder = save_tiny_model(tmp_path / "copy")
    twins = build_dual_encoder(Local(str(tmp_path / "copy.plain")), Mean(), Twin())
    assert twins.query is not twins.document
    latency = measure_latency(
        [
            ("a", "tiny", tiny),
            ("b", "light", light),
            ("c", "copy", DualEncoder.load(folder)),
            ("d", "twins", twins),
        ],
        QUERIES,
        SETTINGS,
    )
    a, b, c, d = (latency.models[system] for system in "abcd")
    assert a.query is b.document is c.query is d.query is d.document
    assert b.query is not b.document
    assert [model.symmetric for model in (a, b, c, d)] == [True, False, True, True]


def test_texts_encoded_in_two_steps_have_the_vectors_of_one(tiny):
    encoder = latency_measurement.Encoder(tiny.query, SETTINGS)
    vectors = encoder.encode_tokens(tiny.query.token_ids(QUERIES, "query"))
    np.testing.assert_array_equal(vectors, encode(tiny.query, QUERIES, "query", SETTINGS))


def test_a_measurement_ends_with_its_time_but_not_before_some_turns():
    assert share_done(LEAST_TURNS - 1, 100.0, 1.0) < 1
    assert share_done(LEAST_TURNS, 0.5, 1.0) == 0.5
    assert share_done(LEAST_TURNS, 1.0, 1.0) == 1
    assert share_done(MOST_TURNS, 0.0, 1.0) == 1


# --- threads


@pytest.mark.parametrize("parallel", [None, "true"])
def test_threads_are_pinned_and_given_back_even_after_an_error(monkeypatch, parallel):
    name = "TOKENIZERS_PARALLELISM"
    monkeypatch.delenv(name, raising=False)
    if parallel is not None:
        monkeypatch.setenv(name, parallel)
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS + 1)
    try:
        with pytest.raises(RuntimeError, match="out of memory"), pinned_threads():
            assert torch.get_num_threads() == THREADS
            assert os.environ[name] == "false"
            raise RuntimeError("out of memory")
        assert torch.get_num_threads() == THREADS + 1
        assert os.environ.get(name) == parallel
    finally:
        torch.set_num_threads(before)
