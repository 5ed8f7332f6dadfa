"""Counting active neurons and comparing them, against counts by hand."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.probing.attribution.activity import Activity, _packed
from pipeline.probing.attribution.activity_change import change, change_in_per_cent
from pipeline.probing.attribution.findings import findings, gap_words
from pipeline.probing.attribution.integrated_gradients import Attribution
from pipeline.probing.attribution.method import Method
from pipeline.probing.attribution.quadrature import Adaptive, GaussLegendre, Published, Quadrature
from pipeline.probing.attribution.results import Compared, Results
from pipeline.probing.attribution.tables import distribution, incomplete, layers, neurons, summary, sweep


def activity(name: str, active: np.ndarray) -> Activity:
    """Of bits [texts, layers, neurons], the same in both sub-layers and at one threshold."""
    parts = ("inner", "outer")
    texts, layers, _ = active.shape
    return Activity(
        name,
        "query",
        [f"q{number}" for number in range(texts)],
        256,
        2 * texts,
        {part: active.sum(axis=0)[None] for part in parts},
        {part: active.sum(axis=2)[None] for part in parts},
        np.zeros((texts, layers, 2)),
        np.zeros((texts, layers, 2)),
        np.full((texts, layers, 2), 7),
    )


def by(quadrature: Quadrature, published: bool = False) -> Method:
    return Method(quadrature, {"base": "norm", "other": "norm"}, 0.1, [0.1], 256, published)


BASE = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[1, 0, 0, 0]]])
OTHER = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[0, 1, 0, 0]]])


def test_a_change_is_counted_as_by_hand():
    both = (BASE & OTHER).sum(axis=2)[None]
    found = change(activity("base", BASE), activity("other", OTHER), both, "inner", 0, slice(None), 0)
    assert found.activations.mean == pytest.approx(50)  # 6 against 4
    assert found.at_least_once == pytest.approx(50)  # 3 against 2
    assert found.overlap.mean == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found.overlap_at_least_once == pytest.approx(2 / 3)


def test_an_interval_of_a_ratio_is_near_the_delta_methods_and_surer_with_more_texts():
    generator = np.random.default_rng(0)
    base = generator.poisson(20, 400) + 1.0
    other = base * 1.3 + generator.normal(0, 2, 400)
    found = change_in_per_cent(base, other, 0)
    error = 100 * (other - other.sum() / base.sum() * base).std() / base.mean() / np.sqrt(400)
    assert found.low < 100 * (other.sum() / base.sum() - 1) < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert np.isnan(change_in_per_cent(np.zeros(3), np.ones(3), 0).mean)


def test_shares_are_of_unique_texts_and_published_ones_of_pairs():
    found = [Compared("query", [activity("base", BASE)], [])]
    sound, published = (
        Results(found, by(GaussLegendre(), whether), 0).shares(found[0].activities[0], "inner")
        for whether in (False, True)
    )
    assert np.allclose(sound, [[1, 1 / 3, 0, 0]])
    assert np.allclose(published, sound / 2)


def test_active_is_above_a_part_of_the_texts_largest_attribution_anywhere():
    inner = np.array([[[1.0, 0.2, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3]]], np.float32)
    outer = np.array([[[2.0, 0.1]]], np.float32)
    rest = np.zeros((1, 1, 2), np.float32)
    packed = _packed(Attribution(inner, outer, rest, rest, np.ones(1), np.ones((1, 1, 2), int)), [0.02, 0.1])
    bits = np.unpackbits(packed["inner"], axis=-1, count=9)[:, 0, 0]
    assert bits.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0, 1]]
    assert np.unpackbits(packed["outer"], axis=-1, count=2)[:, 0, 0].tolist() == [[1, 1], [1, 0]]


def test_sentences_claim_no_more_than_was_shown():
    texts = np.tile(BASE, (3, 1, 1))  # enough of them for an interval
    both = texts.sum(axis=2)[None]
    base, other = activity("base", texts), activity("other", texts)
    for one in (base, other):
        one.gap[:], one.difference[:] = 0.5, 1.0  # attributions that are half of what they should be
    found = [Compared("query", [base, other], [{"inner": both, "outer": both}])]
    said = {
        name: " ".join(findings(Results(found, method, 0), ["half of it"]))
        for name, method in (("sound", by(GaussLegendre())), ("published", by(Published(), True)))
    }
    assert "other is not shown to activate more or fewer neurons than base (inner): 0.0 [0.0, 0.0]%" in said["sound"]
    assert "Wide: give probe.quadrature.name=adaptive" in said["sound"]
    assert "Completeness: base 7.0 points, gap 50.00%" in said["sound"]
    assert "to the letter" not in said["sound"]
    assert "give probe" not in said["published"]
    assert (
        "Not as published to the letter: padding is masked, where the study pooled over it too; half of it."
        in (said["published"])
    )


def test_what_could_not_be_made_complete_is_named_by_text_and_layer():
    whole = activity("base", np.tile(BASE, (3, 1, 1)))
    whole.gap[4, 0, 1], whole.difference[4, 0, 1] = 0.5, -0.25
    results = Results([Compared("query", [whole], [])], by(Adaptive()), 0)
    assert incomplete(results) == [
        {
            "model": "base",
            "texts of": "query",
            "text": "q4",
            "layer": 1,
            "sub-layer": "outer",
            "gap": 0.5,
            "points": 7,
            "P(1) - P(0)": -0.25,
        }
    ]
    assert findings(results)[-1] == (
        "Not complete: base, query q4, layer 1 (outer): the gap is 50.0% of P(1) - P(0) = -0.25 after 7 points."
    )
    assert {(row["sub-layer"], row["gap above 2%"], row["points"]) for row in summary(results)} == {
        ("inner", 0, 7.0),
        ("outer", 1, 7.0),
    }
    for rows in (layers(results), neurons(results), distribution(results), sweep(results)):
        assert all({"points", "gap, median", "gap, together"} <= row.keys() for row in rows)


def test_a_change_is_drawn_once():
    both = (BASE & OTHER).sum(axis=2)[None]
    found = [Compared("query", [activity("base", BASE), activity("other", OTHER)], [{"inner": both, "outer": both}])]
    results = Results(found, by(GaussLegendre()), 0)
    assert results.changes() is results.changes(0)
    assert [one.name for one in results.changes(layer=0)] == ["inner", "outer"]


def test_a_difference_near_zero_blows_no_percentage_up():
    difference, total = np.full((20, 1, 2), 0.5), np.full((20, 1, 2), 0.505)
    difference[:3], total[:3] = 1e-26, 0.001
    gap = np.abs(total - difference) / difference
    share, words = gap_words(replace(activity("base", np.ones((20, 1, 4), int)), gap=gap, difference=difference))
    assert gap.max() > 1e22 and share == pytest.approx((17 * 0.005 + 3 * 0.001) / (17 * 0.5))
    assert "but for 1.00% (median" in words and "95% of them are off by at most 0.005, where" in words
    assert "0.42 on average" in words
