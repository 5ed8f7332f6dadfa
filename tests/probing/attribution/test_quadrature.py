"""Rules against integrals in closed form."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.probing.attribution.quadrature import Adaptive, GaussLegendre, Published, divided, quadrature_named


def integral(rule, function) -> float:
    return float((rule.weights * function(rule.points)).sum())


def test_the_published_sum_counts_both_ends_in_full():
    rule = Published().rule()
    assert len(rule) == 20
    assert rule.points[0] == 1e-6
    assert rule.points[-1] == 1
    assert np.allclose(np.diff(rule.points), (1 - 1e-6) / 19)
    assert set(rule.weights) == {1 / 20}
    # Of k/19 for k = 0 to 19 the mean square is (2 * 19 + 1) / (6 * 19).
    assert integral(rule, lambda a: a**2) == pytest.approx(39 / 114, rel=1e-5)


@pytest.mark.parametrize("points", [1, 2, 6])
def test_gausss_rule_is_exact_up_to_its_degree(points):
    rule = GaussLegendre(points).rule()
    assert len(rule) == points
    for degree in range(2 * points):
        assert integral(rule, lambda a, degree=degree: a**degree) == pytest.approx(1 / (degree + 1), abs=1e-14)
    assert abs(integral(rule, lambda a: a ** (2 * points)) - 1 / (2 * points + 1)) > 1e-9


def test_pieces_are_divided_inside_and_towards_nothing():
    low, high = np.array([0, 0.01, 0.98]), np.array([1, 0.04, 1])
    assert np.allclose(divided(low, high), [1 / 8, 0.02, (0.98) ** 0.5])


def test_rules_are_made_by_name_and_wrong_ones_refused():
    assert quadrature_named("gauss") == GaussLegendre(6)
    assert quadrature_named("published") == Published(20)
    assert quadrature_named("adaptive", 4, 0.05, 100) == Adaptive(4, 0.05, 100)
    for settings, said in (
        (("simpson",), "simpson"),
        (("riemann", 20), "riemann"),
        (("gauss", 0), "points"),
        (("adaptive", 6, 0), "tolerance"),
        (("adaptive", 6, 0.02, 1.5), "most_points"),
        (("gauss", 6, 0.05), "is for adaptive"),
    ):
        with pytest.raises(UserError, match=said):
            quadrature_named(*settings)
