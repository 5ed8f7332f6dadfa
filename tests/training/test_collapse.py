"""The collapse monitor on planted vectors, and both losses against plain definitions and their chance levels."""

import numpy as np
import pytest
import torch

from pipeline.evaluation.geometry import FIGURES
from pipeline.training.collapse import collapse_sentence, collapse_summary, collapsed_towers
from pipeline.training.losses import chance_level, contrastive_loss


def row_of(step: int, **towers: np.ndarray) -> dict[str, float]:
    return {"step": step} | {
        f"{side}/{name}": figure(vectors) for side, vectors in towers.items() for name, figure in FIGURES.items()
    }


@pytest.fixture
def drawn():
    return np.random.default_rng(0)


def test_healthy_collapsed_and_partly_collapsed_towers_are_told_apart(drawn):
    healthy = drawn.normal(size=(200, 16))
    collapsed = healthy * 0.01 + 1
    flat = drawn.normal(size=(200, 2)) @ drawn.normal(size=(2, 16))
    start = row_of(0, query=healthy, document=healthy)
    assert collapsed_towers(start, start) == {}
    assert list(collapsed_towers(row_of(9, query=collapsed, document=healthy), start)) == ["query"]
    found = collapsed_towers(row_of(9, query=collapsed, document=flat), start)
    assert "mean cosine" in found["query"]
    assert "spread over 2.0 directions" in found["document"]


def test_vectors_that_pointed_one_way_from_the_start_have_not_collapsed_unless_they_lose_half_their_spread(drawn):
    start = row_of(0, query=drawn.normal(size=(200, 16)) * 0.1 + 1)
    assert start["query/mean_cosine"] > 0.98
    assert collapsed_towers(start, start) == {}
    assert collapsed_towers(row_of(5, query=drawn.normal(size=(200, 16)) * 0.09 + 1), start) == {}
    assert list(collapsed_towers(row_of(5, query=drawn.normal(size=(200, 16)) * 0.05 + 1), start)) == ["query"]


def test_a_training_has_collapsed_when_it_ends_so(drawn):
    healthy, collapsed = drawn.normal(size=(200, 16)), drawn.normal(size=(200, 16)) * 0.01 + 1
    well, ill = ({"query": x, "document": healthy} for x in (healthy, collapsed))
    rows = [row_of(0, **well), row_of(5, **ill), row_of(10, **well), row_of(20, **ill), row_of(30, **ill)]
    summary = collapse_summary(rows)
    assert (summary["collapsed"], summary["collapsed_at"], list(summary["collapsed_towers"])) == (True, 20, ["query"])
    assert summary["collapsed_steps"] == [5, 20, 30]
    assert collapse_summary(rows[:3]) == {"collapsed": False, "collapsed_steps": [5]}
    assert collapse_sentence(rows[2], rows[0]) is None
    assert collapse_sentence(rows[3], rows[0]).startswith("Collapsed at step 20: the query tower (the mean cosine")


def naive(scores, targets, masked, temperature, normalisation):
    """Both losses as sums of exponentials, in float64."""
    total, rows = 0.0, np.exp(scores / temperature) * ~masked
    for row, target in enumerate(targets):
        denominator = rows[row].sum() if normalisation == "row" else rows.sum()
        total -= np.log(rows[row, target] / denominator)
    return total / len(targets)


@pytest.mark.parametrize("normalisation", ["row", "global"])
def test_a_loss_is_its_definition_and_at_chance_where_all_scores_are_equal(drawn, normalisation):
    scores, targets = drawn.normal(size=(6, 18)), np.arange(6) * 3
    masked = drawn.random((6, 18)) < 0.2
    masked[np.arange(6), targets] = False
    tensors = torch.from_numpy(scores), torch.from_numpy(targets), torch.from_numpy(masked)
    ours = contrastive_loss(*tensors, 0.3, normalisation)
    assert float(ours) == pytest.approx(naive(scores, targets, masked, 0.3, normalisation), abs=1e-10)
    flat = contrastive_loss(torch.full((6, 18), 0.7), *tensors[1:], 0.05, normalisation)
    assert float(flat) == pytest.approx(float(chance_level(tensors[2], normalisation)), abs=1e-5)


def test_chance_is_the_logarithm_of_what_is_counted():
    masked = torch.zeros(4, 8, dtype=torch.bool)
    assert float(chance_level(masked, "row")) == pytest.approx(np.log(8))
    assert float(chance_level(masked, "global")) == pytest.approx(np.log(32))
