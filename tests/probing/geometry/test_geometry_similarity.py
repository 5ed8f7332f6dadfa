"""CKA and RSA against their definitions, and what must not change them."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, spearmanr

from pipeline.probing.geometry.similarity import anisotropy, evenness, linear_cka, linear_cka_of_few, rsa
from pipeline.probing.jackknife import GROUPS, groups, jackknife

TEXTS = 120


@pytest.fixture
def states():
    """Two models' states that have something in common, far from the origin, of unlike widths."""
    generator = np.random.default_rng(0)
    common = generator.normal(size=(TEXTS, 5))
    first = common @ generator.normal(size=(5, 12)) + 0.5 * generator.normal(size=(TEXTS, 12)) + 3
    second = common @ generator.normal(size=(5, 7)) + 0.5 * generator.normal(size=(TEXTS, 7)) - 2
    return first.astype(np.float32), second.astype(np.float32)


def cka_of(first, second):
    return linear_cka((first[rows], second[rows]) for rows in groups(len(first)))[0]


def debiased_of(first, second):
    return linear_cka((first[rows], second[rows]) for rows in groups(len(first)))[1]


def naive_debiased(first, second):
    """The same from Gram matrices without their diagonals (Song et al. 2012, equation 5)."""
    count, ones = len(first), np.ones(len(first))
    grams = [x.astype(np.float64) @ x.astype(np.float64).T for x in (first, second)]
    for gram in grams:
        np.fill_diagonal(gram, 0)

    def hsic(one, other):
        level = (ones @ one @ ones) * (ones @ other @ ones) / ((count - 1) * (count - 2))
        return np.trace(one @ other) + level - 2 / (count - 2) * (ones @ one @ other @ ones)

    return hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


def naive_cka(first, second):
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with centred Gram matrices (Kornblith et al. 2019, equation 2 and 3)."""
    count = len(first)
    centring = np.eye(count) - np.full((count, count), 1 / count)
    grams = [centring @ (x.astype(np.float64) @ x.astype(np.float64).T) @ centring for x in (first, second)]
    hsic = [[np.trace(a @ b) for b in grams] for a in grams]
    return hsic[0][1] / np.sqrt(hsic[0][0] * hsic[1][1])


def test_cka_is_that_of_centred_gram_matrices(states):
    found = cka_of(*states)
    assert found.mean == pytest.approx(naive_cka(*states), rel=1e-10)
    kept = [np.setdiff1d(np.arange(TEXTS), group) for group in groups(TEXTS)]
    left_out = np.array([naive_cka(states[0][rows], states[1][rows]) for rows in kept])
    error = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean()) ** 2).sum())
    assert found.high - found.mean == pytest.approx(2.2621572 * error, rel=1e-6)  # t with 9 degrees of freedom
    assert 0.1 < found.low < found.mean < found.high < 1


def test_cka_and_rsa_of_a_model_with_itself_are_1_up_to_rotation_and_scale(states):
    rotated = 2.5 * states[0] @ ortho_group.rvs(12, random_state=1)
    for found in (cka_of(states[0], states[0]), cka_of(states[0], rotated)):
        assert found.mean == pytest.approx(1, abs=1e-7)
    assert cka_of(states[0], rotated + 9).mean == pytest.approx(1, abs=1e-7)  # centred
    assert rsa(states[0], states[0]).mean == pytest.approx(1, abs=1e-12)
    assert rsa(states[0], rotated).mean == pytest.approx(1, abs=1e-6)
    stretched = states[0] * np.linspace(0.1, 5, 12)
    assert cka_of(states[0], stretched).mean < 0.95
    assert cka_of(rotated[::-1], states[1]).mean < 0.5


def test_debiased_cka_is_that_of_unbiased_hsic(states):
    found = debiased_of(*states)
    assert found.mean == pytest.approx(naive_debiased(*states), rel=1e-9)
    kept = [np.setdiff1d(np.arange(TEXTS), group) for group in groups(TEXTS)]
    left_out = np.array([naive_debiased(states[0][rows], states[1][rows]) for rows in kept])
    error = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean()) ** 2).sum())
    assert found.high - found.mean == pytest.approx(2.2621572 * error, rel=1e-6)
    assert debiased_of(states[0], 3 * states[0] + 1).mean == pytest.approx(1, abs=1e-6)


def test_unrelated_wide_states_have_no_debiased_likeness():
    generator = np.random.default_rng(4)
    first, second = generator.normal(size=(2, TEXTS, 200)).astype(np.float32)
    assert cka_of(first, second).mean > 0.5
    assert abs(debiased_of(first, second).mean) < 0.05


def test_cka_does_not_depend_on_how_texts_are_divided(states):
    whole = linear_cka([(states[0][:50], states[1][:50]), (states[0][50:], states[1][50:])])
    assert whole[0].mean == pytest.approx(cka_of(*states).mean, rel=1e-12)
    assert whole[1].mean == pytest.approx(debiased_of(*states).mean, rel=1e-10)


def test_cka_from_products_of_texts_is_that_from_products_of_features(states):
    wide = np.random.default_rng(5).normal(size=(12, 300)).astype(np.float32)
    for first, second in (states, (states[0] @ wide, states[1])):
        blocks = ((first[rows], second[rows]) for rows in groups(TEXTS))
        for few, many in zip(linear_cka_of_few(first, second), linear_cka(blocks), strict=True):
            assert [few.mean, few.low, few.high] == pytest.approx([many.mean, many.low, many.high], rel=1e-8)
    constant = np.ones((TEXTS, 300), dtype=np.float32)
    assert all(np.isnan(found.mean) for found in linear_cka_of_few(constant, states[1]))


def test_rsa_is_spearmans_correlation_of_cosine_distances(states):
    expected = spearmanr(pdist(states[0].astype(np.float64), "cosine"), pdist(states[1].astype(np.float64), "cosine"))
    found = rsa(*states)
    assert found.mean == pytest.approx(expected.statistic, abs=1e-9)
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("jitter", [0.0, 1e-7])
def test_states_that_are_all_equal_have_no_likeness(states, jitter):
    noise = np.random.default_rng(2).normal(size=(TEXTS, 12))
    constant = (np.linspace(1, 2, 12) * (1 + jitter * noise)).astype(np.float32)
    for found in (cka_of(constant, states[1]), cka_of(states[1], constant), rsa(constant, states[1])):
        assert np.isnan(found.mean)


def test_the_jackknife_of_a_mean_is_students_interval_of_group_means():
    values = np.random.default_rng(3).normal(size=TEXTS)
    found = jackknife(lambda kept: float(values[kept].mean()), TEXTS)
    means = values.reshape(GROUPS, -1).mean(axis=1)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(2.2621572 * means.std(ddof=1) / np.sqrt(GROUPS), rel=1e-6)


def test_spread_is_told_with_intervals(states):
    for figure in (anisotropy(states[0]), evenness(states[0])):
        assert figure.low < figure.mean < figure.high
    same = np.ones((TEXTS, 4), dtype=np.float32)
    assert anisotropy(same).mean == pytest.approx(1)
    assert evenness(same).mean == pytest.approx(0)


def test_the_difference_of_two_figures_is_the_jackknife_of_their_difference():
    values = np.random.default_rng(3).normal(size=(2, TEXTS))
    first, second = (jackknife(lambda kept, of=of: float(of[kept].mean() ** 2), TEXTS) for of in values)
    both = jackknife(lambda kept: float(values[1][kept].mean() ** 2 - values[0][kept].mean() ** 2), TEXTS)
    found = second.minus(first)
    assert (found.mean, found.low, found.high) == pytest.approx((both.mean, both.low, both.high))
