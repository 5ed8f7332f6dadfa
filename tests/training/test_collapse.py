"""The collapse monitor on planted vectors, and both losses against plain definitions and their chance levels."""

import numpy as np
import pytest
import torch

from pipeline.evaluation.geometry import FIGURES
from pipeline.training.collapse import collapse_sentence, collapse_summary, fallen_towers, worst
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
    assert fallen_towers(start, start) == {}
    assert list(fallen_towers(row_of(9, query=collapsed, document=healthy), start)["collapsed"]) == ["query"]
    found = fallen_towers(row_of(9, query=collapsed, document=flat), start)["collapsed"]
    assert "mean cosine" in found["query"]
    assert "spread over 2.0 directions" in found["document"]


def test_vectors_that_pointed_one_way_from_the_start_have_not_collapsed_unless_they_lose_half_their_spread(drawn):
    start = row_of(0, query=drawn.normal(size=(200, 16)) * 0.1 + 1)
    assert start["query/mean_cosine"] > 0.98
    assert fallen_towers(start, start) == {}
    assert fallen_towers(row_of(5, query=drawn.normal(size=(200, 16)) * 0.09 + 1), start) == {}
    assert worst(fallen_towers(row_of(5, query=drawn.normal(size=(200, 16)) * 0.05 + 1), start)) == "collapsed"


@pytest.mark.parametrize(
    ("cosine", "rank", "level"),
    [
        (0.95, 6.0, "nearly_collapsed"),  # as seen of a document tower trained beside a random one; nDCG@10 was .003
        (0.04, 254.0, None),
        (0.51, 254.0, None),
        (0.53, 254.0, "nearly_collapsed"),  # more than half way from .04 to 1
        (0.04, 25.5, None),
        (0.04, 25.3, "nearly_collapsed"),  # below a tenth of 254
        (0.04, 4.9, "collapsed"),
        (0.981, 254.0, "collapsed"),
    ],
)
def test_a_tower_is_judged_against_itself_at_step_0_too(cosine, rank, level):
    start = {"step": 0, "document/mean_cosine": 0.04, "document/effective_rank": 254.0}
    row = {"step": 50, "document/mean_cosine": cosine, "document/effective_rank": rank}
    assert worst(fallen_towers(row, start)) == level
    sentence = collapse_sentence(row, start)
    if level is None:
        assert sentence is None
    else:
        assert sentence.startswith({"collapsed": "Collapsed", "nearly_collapsed": "Nearly collapsed"}[level])


def test_a_training_has_collapsed_when_it_ends_so(drawn):
    healthy, collapsed = drawn.normal(size=(200, 16)), drawn.normal(size=(200, 16)) * 0.01 + 1
    near = drawn.normal(size=(200, 16)) + 2
    well, ill, nearly = ({"query": x, "document": healthy} for x in (healthy, collapsed, near))
    rows = [row_of(0, **well), row_of(5, **ill), row_of(10, **well), row_of(20, **ill), row_of(30, **ill)]
    summary = collapse_summary(rows, rows[0])
    assert (summary["collapsed"], summary["collapsed_at"], list(summary["collapsed_towers"])) == (True, 20, ["query"])
    assert summary["collapsed_steps"] == [5, 20, 30]
    assert (summary["nearly_collapsed"], summary["nearly_collapsed_steps"]) == (False, [])
    well_again = collapse_summary(rows[:3], rows[0])
    assert (well_again["collapsed"], well_again["collapsed_steps"]) == (False, [5])
    assert collapse_sentence(rows[2], rows[0]) is None
    assert collapse_sentence(rows[3], rows[0]).startswith("Collapsed at step 20: the query tower (the mean cosine")
    summary = collapse_summary([*rows[:3], row_of(40, **nearly)], rows[0])
    assert (summary["collapsed"], summary["nearly_collapsed"], summary["nearly_collapsed_at"]) == (False, True, 40)


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
