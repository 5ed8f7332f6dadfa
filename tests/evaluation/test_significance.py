"""Paired tests against exact counting and ranx, Holm against its definition, marks against hand-made cases."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from pipeline.errors import UserError
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.significance import compare, fisher, holm, student


def scores(*values: float, query_ids: list[str] | None = None) -> Scores:
    ids = query_ids or [f"q{number}" for number in range(len(values))]
    return Scores(["ndcg@10"], ids, {"ndcg@10": np.array(values, dtype=float)})


def exact_fisher(differences: np.ndarray) -> float:
    """Count every sign pattern in exact integer arithmetic (differences are hundredths)."""
    hundredths = [round(100 * value) for value in differences]
    observed = abs(sum(hundredths))
    patterns = list(product((1, -1), repeat=len(hundredths)))
    extreme = sum(abs(sum(s * d for s, d in zip(signs, hundredths, strict=True))) >= observed for signs in patterns)
    return extreme / len(patterns)


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=8))
@settings(deadline=None)
def test_fisher_counts_every_pattern_of_a_few_queries(hundredths):
    differences = np.array(hundredths) / 100
    assert fisher(np.zeros(len(differences)), differences) == pytest.approx(exact_fisher(differences))


def test_fisher_of_many_queries_approaches_the_exact_value():
    generator = np.random.default_rng(1)
    differences = np.round(generator.normal(0.05, 0.2, 16), 2)
    assert fisher(np.zeros(16), differences) == pytest.approx(exact_fisher(differences), abs=0.015)


def test_fisher_agrees_with_ranx():
    from ranx.statistical_tests import fisher_randomization_test

    generator = np.random.default_rng(0)
    first = generator.random(100)
    second = first + generator.normal(0.02, 0.1, 100)
    theirs, _ = fisher_randomization_test(first, second, 10_000)
    assert fisher(first, second) == pytest.approx(theirs, abs=0.02)


def test_fisher_repeats_itself_is_symmetric_and_never_zero():
    generator = np.random.default_rng(2)
    first, second = generator.random(300), generator.random(300) + 1
    assert fisher(first, second) == fisher(first, second) == fisher(second, first) == 1 / 10_001


def test_fisher_ignores_queries_that_do_not_differ():
    first, second = np.array([0.1, 0.5, 0.2]), np.array([0.3, 0.5, 0.6])
    assert fisher(first, second) == fisher(first[[0, 2]], second[[0, 2]]) == 0.5
    assert fisher(first, first) == 1.0


def test_student_is_the_paired_t_test():
    generator = np.random.default_rng(3)
    first, second = generator.random(40), generator.random(40)
    assert student(first, second) == pytest.approx(ttest_rel(first, second).pvalue)
    assert student(first, first) == 1.0
    assert student(first[:1], second[:1]) == 1.0


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    level = 0.05
    rejected = set()
    for rank, position in enumerate(np.argsort(p_values, kind="stable")):
        if (len(p_values) - rank) * p_values[position] > level:
            break
        rejected.add(int(position))
    assert {position for position, value in enumerate(holm(p_values)) if value <= level} == rejected


def three_systems() -> dict[str, Scores]:
    generator = np.random.default_rng(4)
    base = generator.random(200) / 2
    return {
        "bm25": scores(*base),
        "zero_shot": scores(*(base + 1e-4 * generator.normal(size=200))),
        "dense": scores(*(base + 0.3 + 0.01 * generator.normal(size=200))),
    }


@pytest.mark.parametrize("test", ["fisher", "student"])
def test_marks_name_the_systems_that_one_is_better_than(test):
    found = compare(three_systems(), test)
    assert found.beaten_by("dense", "ndcg@10") == ["bm25", "zero_shot"]
    assert found.beaten_by("bm25", "ndcg@10") == found.beaten_by("zero_shot", "ndcg@10") == []
    assert len(found.comparisons) == 3
    assert "Holm-corrected over 3 comparisons" in found.caption()


def test_every_comparison_is_corrected_over_its_family():
    found = compare(three_systems())
    assert [item.corrected for item in found.comparisons] == holm([item.p_value for item in found.comparisons])


def test_a_baseline_is_compared_with_every_other_system():
    found = compare(three_systems(), baseline="zero_shot")
    assert [(item.first, item.second) for item in found.comparisons] == [("zero_shot", "bm25"), ("zero_shot", "dense")]
    assert found.beaten_by("dense", "ndcg@10") == ["zero_shot"]
    assert "against zero_shot" in found.caption()


def test_a_worse_system_is_marked_as_beaten_whatever_the_order():
    systems = three_systems()
    found = compare({"dense": systems["dense"], "bm25": systems["bm25"]})
    assert found.beaten_by("dense", "ndcg@10") == ["bm25"]
    assert found.beaten_by("bm25", "ndcg@10") == []


def test_bad_comparisons_are_refused():
    with pytest.raises(UserError, match="test=fischer is unknown; did you mean fisher"):
        compare(three_systems(), "fischer")
    with pytest.raises(UserError, match="baseline=bm26 is not among the systems"):
        compare(three_systems(), baseline="bm26")
    with pytest.raises(UserError, match="scored on different queries"):
        compare({"a": scores(0.5, 0.6), "b": scores(0.5, 0.6, query_ids=["q0", "q7"])})


def clearly_better(systems: int, queries: int = 40) -> dict[str, Scores]:
    """Each system above the one before on every query, by differences that vary."""
    steps = np.random.default_rng(5).uniform(0.01, 0.02, (systems, queries))
    return {f"s{number}": scores(*row) for number, row in enumerate(steps.cumsum(axis=0))}


def test_fisher_draws_as_many_permutations_as_the_level_takes():
    """With 10,000, the least of 45 p-values is 45 / 10,001 after Holm: no pair could pass 0.001."""
    found = compare(clearly_better(10), level=1e-3)
    assert len(found.comparisons) == 45
    assert all(comparison.reachable and comparison.corrected <= 1e-3 for comparison in found.comparisons)
    assert found.beaten_by("s9", "ndcg@10") == [f"s{number}" for number in range(9)]


def test_more_permutations_change_no_p_value_that_is_above_the_level():
    generator = np.random.default_rng(6)
    first = generator.random(50)
    second = first + generator.normal(0.01, 0.1, 50)
    assert fisher(first, second, 1_000_000, 1e-4) == fisher(first, second) > 1e-4


def test_comparisons_that_no_difference_could_mark_are_counted():
    """Of four queries, all better, p is 2 / 2^4; of six, 2 / 2^6."""
    four = {"a": scores(0.1, 0.2, 0.3, 0.4, 0.5), "b": scores(0.2, 0.4, 0.6, 0.8, 0.5)}
    [comparison] = compare(four).comparisons
    assert (comparison.p_value, comparison.reachable) == (0.125, False)
    assert compare(four).caption().endswith("p ≤ 0.05; out of reach with so few queries that differ: 1 of 1")
    six = {"a": scores(*np.zeros(6)), "b": scores(*np.arange(1, 7))}
    assert compare(six).comparisons[0].reachable and "out of reach" not in compare(six).caption()
    # Three pairs of six queries each: Holm takes the smallest three times, 6 / 64.
    three = six | {"c": scores(*np.arange(2, 14, 2))}
    assert [comparison.reachable for comparison in compare(three).comparisons] == [False] * 3
    identical = {"a": scores(0.1, 0.2), "b": scores(0.1, 0.2)}
    assert (compare(identical).comparisons[0].p_value, compare(identical).comparisons[0].reachable) == (1.0, False)


def test_student_finds_nothing_where_differences_do_not_vary():
    """The variance is 0, or what rounding leaves: t would be infinite for any two queries."""
    assert student(np.array([0.0, 0.1]), np.array([0.5, 0.6])) == 1.0
    assert student(np.linspace(0, 0.7, 8), np.linspace(0, 0.7, 8) + 0.1) == 1.0
    assert not compare({"a": scores(0.0, 0.1), "b": scores(0.5, 0.6)}, "student").comparisons[0].reachable


@pytest.mark.parametrize("level", [0, 1, 5, -0.1, float("nan"), "low"])
def test_levels_that_mean_nothing_are_refused(level):
    with pytest.raises(UserError, match=f"level={level} must be"):
        compare(three_systems(), level=level)
