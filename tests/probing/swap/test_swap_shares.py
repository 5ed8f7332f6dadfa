"""What each exchange takes away: shares of the gain with intervals, on scores made by hand."""

import numpy as np
import pytest

from pipeline.evaluation.statistics import ratio
from pipeline.probing.swap.findings import _of
from pipeline.probing.swap.shares import exchange
from pipeline.probing.swap.variants import variants

QUERIES = 50


def scores(change):
    """Scores of every variant between a base at 0.2 and a tuned model at 0.6, in which only layer 1 counts."""
    noise = np.random.default_rng(0).normal(0, 0.05, QUERIES)
    listed = variants(3, 2)
    return [(one, {"ndcg@10": 0.2 + noise + (0.4 + 0.5 * noise) * change(one.tuned_share)}) for one in listed]


def test_the_layer_that_carries_the_gain_has_all_of_it():
    found = exchange("base", "tuned", 2, scores(lambda share: share[1]), ["ndcg@10"], seed=0)
    alone = found.of("alone")
    assert [one.share.mean for one in alone] == pytest.approx([0, 1, 0])
    assert [one.corrected <= 0.05 for one in alone] == [False, True, False]
    assert [found.unit(one) for one in alone] == ["embeddings", "layer 1", "layer 2"]
    assert [one.share.mean for one in found.of("from below")] == pytest.approx([0, 1, 1])
    assert [one.share.mean for one in found.of("from above")] == pytest.approx([1, 1, 0])
    assert found.gain["ndcg@10"].mean == pytest.approx(found.ends()[1] - found.ends()[0])
    assert len(found.rows()) == 3 * 3 + 3
    assert alone[1].lost.low < alone[1].lost.mean < alone[1].lost.high


def test_without_a_gain_there_are_no_shares():
    found = exchange("base", "tuned", 2, scores(lambda share: 0.0), ["ndcg@10"], seed=0)
    assert all(one.share is None for one in found.measured)
    assert all(one.corrected in (None, 1.0) for one in found.measured)


def test_a_loss_is_called_a_loss_and_has_no_shares():
    found = exchange("base", "tuned", 2, scores(lambda share: -0.4 * share[1]), ["ndcg@10"], seed=0)
    assert found.gain["ndcg@10"].high < 0
    assert all(one.share is None for one in found.measured)
    said = " ".join(_of(found))
    assert "a loss of 0.1" in said
    assert "of the gain" not in said
    assert "is not shown to fall" in said
    assert "better with the base's layer 1" in said


def test_a_share_is_the_ratio_of_sums_and_its_interval_draws_queries():
    generator = np.random.default_rng(1)
    wholes = generator.normal(0.4, 0.1, 200)
    parts = 0.3 * wholes + generator.normal(0, 0.02, 200)
    found = ratio(parts, wholes, seed=0)
    assert found.mean == pytest.approx(parts.sum() / wholes.sum())
    # The delta method: the error of the ratio is that of the mean of (part - share * whole) / mean whole.
    error = (parts - found.mean * wholes).std(ddof=1) / np.sqrt(200) / wholes.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
