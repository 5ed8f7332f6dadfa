"""Tests of many accuracies at once agree with one at a time, and with naive computing."""

from math import comb

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.evaluation.significance import holm
from pipeline.probing.linear.statistics import bonferroni, bootstrap_together, independent_t
from pipeline.probing.statistics import bootstrap, mcnemar


def test_intervals_together_are_those_of_each_alone():
    generator = np.random.default_rng(0)
    clusters = generator.integers(0, 20, 90)
    values = generator.standard_normal((90, 3)) + clusters[:, None] / 10
    together = bootstrap_together(values, clusters, draws=300, seed=4)
    for column, found in enumerate(together):
        alone = bootstrap(values[:, column], clusters, draws=300, seed=4)
        assert np.allclose([found.mean, found.low, found.high], [alone.mean, alone.low, alone.high], atol=1e-12)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (10, 10), (40, 20)])
def test_mcnemar_is_the_binomial_sum(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False] * 5)
    second = np.array([False] * only_first + [True] * only_second + [True, False] * 5)
    count = only_first + only_second
    tail = sum(comb(count, k) for k in range(min(only_first, only_second) + 1)) / 2**count
    assert np.isclose(mcnemar(first, second), min(1.0, 2 * tail))


def test_corrections_are_the_textbooks():
    p_values = [0.01, 0.04, 0.03, 0.2]
    assert np.allclose(bonferroni(p_values), [0.04, 0.16, 0.12, 0.8])
    assert np.allclose(holm(p_values), [0.04, 0.09, 0.09, 0.2])


def test_the_t_test_takes_rows_as_independent():
    generator = np.random.default_rng(0)
    first, second = generator.random(5000) < 0.5, generator.random(5000) < 0.53
    spread = (first.var(ddof=1) + second.var(ddof=1)) / 5000
    expected = 2 * norm.sf(abs(first.mean() - second.mean()) / spread**0.5)
    assert np.isclose(independent_t(first, second), expected, rtol=1e-2)
    assert independent_t(first, first) == 1.0
