"""Rules for the integral along the path from 0 to 1: where the gradient is taken, and how much each point counts."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.checks import number, one_of, whole_number

MOST_POINTS = 256
"""Where an adaptive rule gives up doubling."""


@dataclass(frozen=True)
class Rule:
    """Points of the path and their weights.

    Attributes:
        points: Between 0 and 1, float64 [points].
        weights: They sum to 1, float64 [points].
    """

    points: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.points)


class Quadrature(ABC):
    """One rule, or rules to be tried one after the other until one is good enough.

    Attributes:
        tolerance: The completeness gap at which no further rule is tried; infinite where there is only one.
    """

    tolerance: float = float("inf")

    @abstractmethod
    def rules(self) -> Iterator[Rule]:
        """Give the rules, each better than the one before it."""

    @abstractmethod
    def description(self) -> dict[str, object]:
        """Say what decides the integral, JSON-like."""


@dataclass(frozen=True)
class Riemann(Quadrature):
    """The right Riemann sum: the points k/n for k = 1 to n, all of one weight.

    The published procedure, with n = 20 (Yao, Wang and Zuccon 2025). Its error falls as 1/n.

    Args:
        points: How many.
    """

    points: int = 20

    def rules(self) -> Iterator[Rule]:
        """Give the one rule."""
        yield Rule(np.arange(1, self.points + 1) / self.points, np.full(self.points, 1 / self.points))

    def description(self) -> dict[str, object]:
        """Name the rule and its points."""
        return {"name": "riemann", "points": self.points}


@dataclass(frozen=True)
class GaussLegendre(Quadrature):
    """Gauss's rule, exact for polynomials of degree 2n - 1 (Abramowitz and Stegun 1964, 25.4.29).

    Args:
        points: How many.
    """

    points: int = 6

    def rules(self) -> Iterator[Rule]:
        """Give the one rule."""
        yield _gauss(self.points)

    def description(self) -> dict[str, object]:
        """Name the rule and its points."""
        return {"name": "gauss", "points": self.points}


@dataclass(frozen=True)
class Adaptive(Quadrature):
    """Gauss's rule with twice as many points until the completeness gap is small enough, text by text.

    Args:
        points: How many at first.
        tolerance: The relative completeness gap that is small enough.
    """

    points: int = 6
    tolerance: float = 0.01

    def rules(self) -> Iterator[Rule]:
        """Give rules of n, 2n, 4n … points, up to `MOST_POINTS`."""
        points = self.points
        while points <= max(self.points, MOST_POINTS):
            yield _gauss(points)
            points *= 2

    def description(self) -> dict[str, object]:
        """Name the rule, its first points and its tolerance."""
        return {"name": "adaptive", "points": self.points, "tolerance": self.tolerance}


QUADRATURES = ("gauss", "riemann", "adaptive")


def quadrature_named(name: str, points: int, tolerance: float) -> Quadrature:
    """Make a quadrature as the configuration names it.

    Args:
        name: `gauss`, `riemann` or `adaptive`.
        points: How many points, or of `adaptive` how many at first.
        tolerance: Of `adaptive`: the completeness gap that is small enough.

    Raises:
        UserError: When there is no such rule, or a number cannot be meant.
    """
    one_of("probe.quadrature.name", name, QUADRATURES)
    whole_number("probe.quadrature.points", points)
    number("probe.quadrature.tolerance", tolerance, above=True)
    if name == "adaptive":
        return Adaptive(points, tolerance)
    return GaussLegendre(points) if name == "gauss" else Riemann(points)


def _gauss(points: int) -> Rule:
    """Move Gauss's rule from [-1, 1] to [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(points)
    return Rule((places + 1) / 2, weights / 2)
