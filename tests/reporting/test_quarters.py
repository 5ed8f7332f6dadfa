import numpy as np
import pytest

from pipeline.data.withheld import QUARTERS
from pipeline.reporting.quarters import EFFECTS, estimate, read_quarters
from tests.reporting.planted_quarters import planted_pair


def test_effects_are_differences_of_differences(tmp_path):
    pairs = [planted_pair(tmp_path, rotation, articles=24, questions=3) for rotation in range(3)]
    found = estimate(pairs, "mrr@10")

    def mean(quarter, run, system):
        values = [
            value
            for pair in pairs
            for cell in [getattr(pair, run)]
            for id_, value in zip(cell.scores[system].query_ids, cell.scores[system].per_query["mrr@10"], strict=True)
            if read_quarters(cell)[id_][0] == quarter
        ]
        return sum(values) / len(values)

    def tuned(quarter):
        return mean(quarter, "without", "dense") - mean(quarter, "without", "zero_shot")

    def step(quarter, system):
        return mean(quarter, "after", system) - mean(quarter, "without", system)

    by_hand = {
        "fine-tuning, on neither": tuned("neither"),
        "masked-LM, on neither, before": step("neither", "zero_shot"),
        "masked-LM, on neither, after": step("neither", "dense"),
        "trained on": tuned("trained") - tuned("neither"),
        "read, before": step("read", "zero_shot") - step("neither", "zero_shot"),
        "read, after": step("read", "dense") - step("neither", "dense"),
        "trained on, less read": tuned("trained") - tuned("neither") - step("read", "dense") + step("neither", "dense"),
        "both, beyond the sum": (
            step("both", "dense") - step("trained", "dense") - step("read", "dense") + step("neither", "dense")
        ),
    }
    assert by_hand.keys() == EFFECTS.keys()
    for name, value in by_hand.items():
        assert found.effects[name].mean == pytest.approx(value, abs=1e-12)
    for quarter in QUARTERS:
        assert found.means[quarter]["masked-LM"].mean == pytest.approx(mean(quarter, "after", "zero_shot"), abs=1e-12)
        assert found.means[quarter]["fine-tuned"].mean == pytest.approx(mean(quarter, "without", "dense"), abs=1e-12)
    assert found.clusters == 6


def test_what_was_planted_is_found_and_nothing_else(tmp_path):
    planted = {
        ("trained", "fine-tuned"): 0.2,
        ("trained", "masked-LM, fine-tuned"): 0.2,
        ("both", "fine-tuned"): 0.2,
        ("both", "masked-LM, fine-tuned"): 0.5,
        ("read", "masked-LM, fine-tuned"): 0.1,
    }
    pairs = [planted_pair(tmp_path, rotation, planted, questions=20) for rotation in range(4)]
    effects = estimate(pairs, "mrr@10").effects
    expected = {
        "trained on": 0.2,
        "read, after": 0.1,
        "trained on, less read": 0.1,
        "both, beyond the sum": 0.2,
    }
    for name, effect in effects.items():
        assert effect.low <= expected.get(name, 0.0) <= effect.high, name
        assert effect.excludes_zero == (name in expected), name


def test_intervals_cover_as_often_as_they_say(tmp_path):
    """At 12 articles a quarter, the bootstrap's 95% are a little less."""
    inside: list[bool] = []
    for seed in range(100):
        effects = estimate([planted_pair(tmp_path, articles=48, questions=4, seed=seed)], "mrr@10").effects
        inside += [effects[name].low <= 0 <= effects[name].high for name in ("trained on", "both, beyond the sum")]
    assert 0.86 <= np.mean(inside) <= 0.99


def test_few_articles_give_no_interval(tmp_path):
    found = estimate([planted_pair(tmp_path, articles=16)], "mrr@10")
    assert found.clusters == 4
    assert np.isnan(found.effects["trained on"].low) and not np.isnan(found.effects["trained on"].mean)


def test_a_dataset_without_quarters_has_none(tmp_path):
    cell = planted_pair(tmp_path).without
    (cell.folder / "quarters.csv").unlink()
    assert read_quarters(cell) == {}
