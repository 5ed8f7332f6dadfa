"""Intervals and tests agree with naive computing."""

from math import comb

import numpy as np
import pytest

from pipeline.evaluation.statistics import bootstrap, bootstrap_of_sums, bootstrap_together, mcnemar


def test_intervals_are_those_of_pooled_rows():
    generator = np.random.default_rng(0)
    clusters = generator.integers(0, 20, 90)
    values = generator.standard_normal((90, 3)) + clusters[:, None] / 10
    together = bootstrap_together(values, clusters, draws=300, seed=4)
    for column, found in enumerate(together):
        expected = [values[:, column].mean(), *naive_ends(values[:, column], clusters)]
        assert np.allclose([found.mean, found.low, found.high], expected, atol=1e-12)
        alone = bootstrap(values[:, column], clusters, draws=300, seed=4)
        assert np.allclose([alone.mean, alone.low, alone.high], expected, atol=1e-12)


def naive_ends(values, clusters):
    """Draw clusters one by one and pool their rows."""
    generator, names = np.random.default_rng(4), np.unique(clusters)
    means = []
    for _ in range(300):
        drawn = generator.integers(0, len(names), len(names))
        means.append(np.concatenate([values[clusters == names[place]] for place in drawn]).mean())
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (10, 10), (40, 20)])
def test_mcnemar_is_the_binomial_sum(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False] * 5)
    second = np.array([False] * only_first + [True] * only_second + [True, False] * 5)
    count = only_first + only_second
    tail = sum(comb(count, k) for k in range(min(only_first, only_second) + 1)) / 2**count
    assert np.isclose(mcnemar(first, second), min(1.0, 2 * tail))


def test_few_clusters_have_no_interval():
    found = bootstrap(np.array([0.3, 0.4, 0.5, 0.6]))
    assert found.mean == pytest.approx(0.45) and np.isnan(found.low) and not found.excludes_zero


def test_statistics_of_sums_are_drawn_stratum_by_stratum():
    generator = np.random.default_rng(3)
    strata = np.repeat([0, 1], [12, 30])
    values = generator.normal(0, 1, 42) + 100 * strata  # what lies between strata must not widen the interval
    columns = np.column_stack([values, np.ones(42)])
    [mean] = bootstrap_of_sums(columns, lambda sums: sums[..., :1] / sums[..., 1:], strata, draws=20_000)
    assert mean.mean == pytest.approx(values.mean())
    variance = sum(n * values[strata == stratum].var(ddof=1) for stratum, n in enumerate((12, 30))) / 42**2
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.03)


def test_a_stratum_of_few_rows_gives_no_interval():
    strata = np.repeat([0, 1], [4, 30])
    [total] = bootstrap_of_sums(np.ones((34, 1)), lambda sums: sums, strata, draws=100)
    assert total.mean == 34 and np.isnan(total.low) and np.isnan(total.high)
