"""The first paper's tests are the textbooks'."""

import numpy as np
from scipy.stats import norm

from pipeline.evaluation.significance import holm
from pipeline.probing.linear.statistics import bonferroni, independent_t


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
