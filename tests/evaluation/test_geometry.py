"""The shape of sets of vectors against closed forms, plain definitions and planted collapse."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pipeline.errors import UserError
from pipeline.evaluation.geometry import (
    alignment,
    dimension_deviation,
    distinct_rows,
    effective_rank,
    kl_divergence,
    mean_pairwise_cosine,
    uniformity,
)


@pytest.fixture
def drawn():
    return np.random.default_rng(0)


def test_mean_cosine_is_that_of_all_pairs(drawn):
    vectors = drawn.normal(size=(40, 7)).astype(np.float32)
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(40) for j in range(40) if i != j]
    assert mean_pairwise_cosine(vectors) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_collapsed_vectors(drawn):
    same = np.tile(drawn.normal(size=8), (30, 1)).astype(np.float32)
    assert mean_pairwise_cosine(same) == pytest.approx(1)
    assert dimension_deviation(same) == pytest.approx(0, abs=1e-9)
    assert effective_rank(same) == 0
    assert uniformity(same) == pytest.approx(0, abs=1e-9)


def test_vectors_of_rank_two(drawn):
    circle = drawn.normal(size=(400, 2)) @ np.linalg.qr(drawn.normal(size=(8, 2)))[0].T
    assert effective_rank(circle) == pytest.approx(2, abs=0.02)


def test_healthy_vectors(drawn):
    vectors = drawn.normal(size=(4000, 16))
    assert effective_rank(vectors) == pytest.approx(16, rel=0.01)
    assert dimension_deviation(vectors) == pytest.approx(1 / 4, rel=0.02)
    assert abs(mean_pairwise_cosine(vectors)) < 0.01


def test_effective_rank_of_known_singular_values():
    # Centred by construction: each direction once up and once down.
    scales = np.array([3.0, 2.0, 1.0])
    vectors = np.concatenate([np.diag(scales), -np.diag(scales)])
    shares = scales / scales.sum()
    assert effective_rank(vectors) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_alignment_and_uniformity_by_definition(drawn):
    x, y = drawn.normal(size=(2, 30, 5))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y)]
    assert alignment(x, y) == pytest.approx(np.mean(np.sum((unit[0] - unit[1]) ** 2, axis=1)))
    upper = np.triu_indices(30, 1)
    assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * cdist(unit[0], unit[0])[upper] ** 2).mean()))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_kl_of_two_gaussians(drawn, dimension):
    # KL(N(0, I) || N(m, s^2 I)) = d (log s + (1 + m^2) / (2 s^2) - 1/2)
    mean, deviation, n = 0.5, 1.5, 4000
    truth = dimension * (np.log(deviation) + (1 + mean**2) / (2 * deviation**2) - 0.5)
    estimates = [
        kl_divergence(drawn.normal(size=(n, dimension)), drawn.normal(mean, deviation, size=(n, dimension)))
        for _ in range(3)
    ]
    assert np.mean(estimates) == pytest.approx(truth, abs=0.06 + 0.03 * dimension)


def test_kl_of_samples_of_one_distribution_is_about_zero(drawn):
    assert abs(kl_divergence(drawn.normal(size=(3000, 3)), drawn.normal(size=(2000, 3)))) < 0.15


def test_kl_by_its_definition_and_its_invariances(drawn):
    x, y = drawn.normal(size=(60, 4)), drawn.normal(0.3, 2, size=(50, 4))
    within = cdist(x, x)
    np.fill_diagonal(within, np.inf)
    plain = 4 / 60 * np.log(cdist(x, y).min(1) / within.min(1)).sum() + np.log(50 / 59)
    assert kl_divergence(x, y) == pytest.approx(plain, abs=1e-12)
    rotation = np.linalg.qr(drawn.normal(size=(4, 4)))[0]
    assert kl_divergence(7 * x @ rotation + 3, 7 * y @ rotation + 3) == pytest.approx(plain, abs=1e-9)


def test_kl_refuses_what_it_cannot_estimate(drawn):
    x = drawn.normal(size=(20, 3))
    assert kl_divergence(x, x) == -np.inf
    with pytest.raises(UserError, match="leave duplicates out"):
        kl_divergence(np.concatenate([x, x[:1]]), drawn.normal(size=(20, 3)))
    with pytest.raises(UserError, match="at least 16 different texts, and there are 5"):
        kl_divergence(x, x[:5])
    with pytest.raises(UserError, match="of 3 and of 2 dimensions"):
        kl_divergence(x, x[:, :2])


def test_distinct_rows_keep_the_first_of_equals(drawn):
    x = drawn.normal(size=(5, 3))
    assert distinct_rows(x[[0, 1, 0, 2, 1]]).tolist() == [0, 1, 3]
