"""Rules for the integral along the path from 0 to 1: where the gradient is taken, and how much each point counts."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipeline.checks import number, one_of, whole_number
from pipeline.errors import UserError

PUBLISHED_POINTS, POINTS = 20, 6
TOLERANCE, MOST_POINTS = 0.02, 2000


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
    """One rule over the whole path, or over pieces of it that are divided until the integral is good enough.

    Attributes:
        points: Of the rule.
        tolerance: The completeness gap from which on pieces are divided, relative to P(1) - P(0); infinite: never.
        most_points: Of a text's path; pieces that would need more are not divided.
    """

    name: str
    points: int
    tolerance: float = float("inf")
    most_points: int = MOST_POINTS

    @abstractmethod
    def rule(self) -> Rule:
        """Give the rule for a path from 0 to 1."""

    def description(self) -> dict[str, object]:
        """Say what decides the integral, JSON-like."""
        return {"name": self.name, "points": self.points}


@dataclass(frozen=True)
class Published(Quadrature):
    """The published sum: points evenly from 1e-6 to 1, all of one weight (Yao, Wang and Zuccon 2025).

    As both ends count in full, its error falls no faster than 1/n.

    Args:
        points: How many.
    """

    points: int = PUBLISHED_POINTS
    name = "published"

    def rule(self) -> Rule:
        """Give points and weights."""
        return Rule(np.linspace(1e-6, 1, self.points), np.full(self.points, 1 / self.points))


@dataclass(frozen=True)
class GaussLegendre(Quadrature):
    """Gauss's rule, exact for polynomials of degree 2n - 1 (Abramowitz and Stegun 1964, 25.4.29).

    Args:
        points: How many.
    """

    points: int = POINTS
    name = "gauss"

    def rule(self) -> Rule:
        """Move Gauss's rule from [-1, 1] to [0, 1]."""
        places, weights = np.polynomial.legendre.leggauss(self.points)
        return Rule((places + 1) / 2, weights / 2)


@dataclass(frozen=True)
class Adaptive(GaussLegendre):
    """Gauss's rule over pieces of the path, each divided for as long as it misses its own part of P(1) - P(0).

    The gradient's integral over a piece is known but for one number, which is exactly P at its end less P at its start.

    Args:
        points: Of every piece; the first piece is the whole path.
        tolerance: The gaps of all pieces together, relative to P(1) - P(0), that are small enough.
        most_points: See `Quadrature`.
    """

    tolerance: float = TOLERANCE
    most_points: int = MOST_POINTS
    name = "adaptive"

    def description(self) -> dict[str, object]:
        """Name the rule, its points, and when it ends."""
        return {**super().description(), "tolerance": self.tolerance, "most_points": self.most_points}


def divided(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Say where to divide pieces of the path.

    What is added to a state may be a thousand times as long as the state (the first token's, in models that write large
    values early); the norm of their sum then turns near a = 0.001. So pieces halve on a logarithmic scale.

    Args:
        low: Where they start, [pieces].
        high: Where they end, [pieces].
    """
    return np.where(low > 0, np.sqrt(low * high), high / 8)


QUADRATURES: dict[str, type[Quadrature]] = {rule.name: rule for rule in (Adaptive, GaussLegendre, Published)}


def quadrature_named(
    name: str, points: int | None = None, tolerance: float | None = None, most_points: int | None = None
) -> Quadrature:
    """Make a quadrature as the configuration names it.

    Args:
        name: `adaptive`, `gauss` or `published`.
        points: How many; None: what is usual for the rule.
        tolerance: Of `adaptive`; None: what is usual.
        most_points: Of `adaptive`; None: what is usual.

    Raises:
        UserError: When there is no such rule, or a number cannot be meant.
    """
    one_of("probe.quadrature.name", name, QUADRATURES)
    given = {"points": points, "tolerance": tolerance, "most_points": most_points}
    settings = {setting: value for setting, value in given.items() if value is not None}
    for setting, value in settings.items():
        address = f"probe.quadrature.{setting}"
        if name != "adaptive" and setting != "points":
            raise UserError(
                f"{address}={value} is for adaptive, and probe.quadrature.name={name} has none; leave it null."
            )
        number(address, value, above=True) if setting == "tolerance" else whole_number(address, value)
    return QUADRATURES[name](**settings)
