"""What is said of layers: no more than the differences of figures over the same texts show, and no less."""

import numpy as np
import pytest

from pipeline.probing.geometry.findings import _likeness, _moved
from pipeline.probing.geometry.layers import Figures, columns
from pipeline.probing.jackknife import GROUPS, Jackknifed, interval_without

RIPPLE = np.array([-1, 1] * (GROUPS // 2)) / GROUPS
"""What leaving a group out changes: an interval reaches 0.68 times the factor of it to either side."""


def figure(mean: float, spread: float, own: float = 0.0, turn: int = 0) -> Jackknifed:
    """A figure whose texts pull it as they pull all others by `spread`, and in a way of its own by `own`."""
    alone = np.roll(np.repeat([1, -1], GROUPS // 2), turn) / GROUPS
    return interval_without(mean, mean + spread * RIPPLE + own * alone)


def rows(*debiased: Jackknifed, plain: tuple[float, ...] = ()) -> tuple[list[dict], Figures]:
    """Layers with these figures of debiased CKA, and of plain CKA where it is another."""
    made = [
        {
            **columns("cka_debiased", found),
            "cka": plain[layer] if plain else found.mean,
            "cka_low": found.low,
            "cka_high": found.high,
            "rsa": None,
            "model": "tuned",
            "texts": "query",
            "layer": layer,
            "facing_layer": layer,
            "compared": 40,
            "compared_in_pairs": 20,
        }
        for layer, found in enumerate(debiased)
    ]
    return made, {("tuned", "query", layer, "cka_debiased"): found for layer, found in enumerate(debiased)}


def said(given: tuple[list[dict], Figures]) -> str:
    return " ".join(_likeness("base", "tuned", "query", *given))


def test_layers_are_ordered_by_debiased_cka_and_named_only_where_told_apart():
    found = said(rows(figure(0.9, 0, 0.1), figure(0.8, 0, 0.3), figure(0.3, 0, 0.1), plain=(0.9, 0.99, 0.95)))
    assert "tuned is most like base in layer 0 (debiased CKA 0.9000 [0." in found
    assert "; not told apart from layer 1) and least in layer 2 (debiased CKA 0.3000" in found
    assert found.count("not told apart") == 1


def test_layers_that_their_texts_pull_alike_are_told_apart_though_their_intervals_meet():
    given = rows(figure(0.5, 0.4), figure(0.4, 0.4))
    assert given[0][0]["cka_debiased_low"] < given[0][1]["cka_debiased_high"]
    assert "tuned is most like base in layer 0" in said(given)


def test_layers_whose_difference_may_be_nothing_are_not_called_most_or_least():
    found = said(rows(figure(0.5, 0, 0.4), figure(0.4, 0, 0.4, turn=2)))
    assert "which layer of tuned is most like base is not told apart" in found
    assert "a difference of 0.1000 [-" in found
    assert "least" not in found


def test_equal_models_and_a_single_layer_are_said_as_they_are():
    assert "has base's geometry in every layer" in said(rows(figure(1.0, 0), figure(1.0, 0)))
    assert "the likeness of tuned and base in layer 0 is debiased CKA 0.5000" in said(rows(figure(0.5, 0.2)))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # A paired difference of -0.0073 ± 0.0017 between figures whose own intervals meet.
        (figure(0.1373, 0.02), figure(0.13, 0.0175), "falls by 0.0073 [0.0056, 0.0090] from 0.1373 [0.12"),
        (figure(0.13, 0.02), figure(0.1373, 0.0225), "rises by 0.0073 [0.0056, 0.0090] from 0.1300 [0.11"),
        (figure(0.13, 0, 0.02), figure(0.1373, 0.03), "is not told apart, from 0.1300"),
        (figure(0.13, 0.02), figure(0.13 + 1e-9, 0.02), "is not told apart, from 0.1300"),
    ],
)
def test_two_models_are_compared_text_by_text(before, after, words):
    given = [
        {"model": model, "texts": "query", "layer": 1, **columns("mean_cosine", found)}
        for model, found in (("base", before), ("tuned", after))
    ]
    figures = {("base", "query", 1, "mean_cosine"): before, ("tuned", "query", 1, "mean_cosine"): after}
    assert _moved(*given, "mean_cosine", figures).startswith(words)
