"""Rules against integrals in closed form."""

import pytest

from pipeline.errors import UserError
from pipeline.probing.attribution.quadrature import MOST_POINTS, Adaptive, GaussLegendre, Riemann, quadrature_named


def integral(rule, function) -> float:
    return float((rule.weights * function(rule.points)).sum())


def test_the_right_riemann_sum_of_a_line_is_off_by_half_a_step():
    (rule,) = Riemann(20).rules()
    assert rule.points[0] == 1 / 20
    assert rule.points[-1] == 1
    assert integral(rule, lambda a: a) == pytest.approx(1 / 2 + 1 / 40)


@pytest.mark.parametrize("points", [1, 2, 6])
def test_gausss_rule_is_exact_up_to_its_degree(points):
    (rule,) = GaussLegendre(points).rules()
    assert len(rule) == points
    for degree in range(2 * points):
        assert integral(rule, lambda a, degree=degree: a**degree) == pytest.approx(1 / (degree + 1), abs=1e-14)
    assert abs(integral(rule, lambda a: a ** (2 * points)) - 1 / (2 * points + 1)) > 1e-9


def test_an_adaptive_rule_doubles_and_ends():
    counts = [len(rule) for rule in Adaptive(6, 0.1).rules()]
    assert counts == [6, 12, 24, 48, 96, 192]
    assert [len(rule) for rule in Adaptive(2 * MOST_POINTS, 0.1).rules()] == [2 * MOST_POINTS]


def test_rules_are_made_by_name_and_wrong_ones_refused():
    assert quadrature_named("gauss", 6, 0.01) == GaussLegendre(6)
    assert quadrature_named("riemann", 20, 0.01) == Riemann(20)
    assert quadrature_named("adaptive", 4, 0.02) == Adaptive(4, 0.02)
    for settings, said in (
        (("simpson", 6, 0.1), "simpson"),
        (("gauss", 0, 0.1), "points"),
        (("gauss", 6, 0), "tolerance"),
    ):
        with pytest.raises(UserError, match=said):
            quadrature_named(*settings)
