"""Whether two systems differ by more than chance: paired tests over queries, corrected for how many were made."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from pipeline.checks import number, one_of
from pipeline.errors import UserError, nearest
from pipeline.evaluation.measures import Scores

Test = Literal["fisher", "student"]
TEST_NAMES = {"fisher": "Fisher's paired randomisation test", "student": "Student's paired t-test"}
PERMUTATIONS = 10_000
"""Drawn at least; more where so many comparisons could otherwise not reach the level."""
LEAST_LEVEL = 1e-4
"""Of Fisher's test; lower ones take too many permutations."""
EXACT_UP_TO = 13
"""Queries that differ; with so few, all 2^n sign patterns are counted instead of drawn."""


@dataclass(frozen=True)
class Comparison:
    """Two systems on one measure.

    Attributes:
        measure: The measure's name.
        first: A system.
        second: The system compared with it.
        difference: Mean of the second minus mean of the first.
        p_value: Two-sided, of this pair alone.
        corrected: The same after Holm's correction over all pairs compared on this measure.
        reachable: Whether the corrected value could have reached the level, whatever each query's difference is.
    """

    measure: str
    first: str
    second: str
    difference: float
    p_value: float
    corrected: float
    reachable: bool = True


@dataclass(frozen=True)
class Significance:
    """Every comparison made between some systems, and how.

    Attributes:
        systems: Names, in the order of the table.
        test: Which test.
        level: Corrected p-values up to this one count as significant.
        baseline: The system that the others were compared with; None when every pair was compared.
        comparisons: One for each measure and pair.
    """

    systems: list[str]
    test: Test
    level: float
    baseline: str | None
    comparisons: list[Comparison]

    def beaten_by(self, system: str, measure: str) -> list[str]:
        """Name the systems that this one is significantly better than."""
        beaten = set()
        for comparison in self.comparisons:
            if comparison.measure == measure and comparison.corrected <= self.level:
                if comparison.second == system and comparison.difference > 0:
                    beaten.add(comparison.first)
                if comparison.first == system and comparison.difference < 0:
                    beaten.add(comparison.second)
        return [name for name in self.systems if name in beaten]

    def caption(self, between: str | None = None) -> str:
        """Say which test was made, between what, and how it was corrected.

        Args:
            between: Words for the pairs, where they were chosen otherwise than by a baseline.
        """
        pairs = len({(comparison.first, comparison.second) for comparison in self.comparisons})
        against = between or (f"against {self.baseline}" if self.baseline else "between every two systems")
        corrected = f", Holm-corrected over {pairs} comparisons of each measure" if pairs > 1 else ""
        beyond = sum(not comparison.reachable for comparison in self.comparisons)
        too_few = (
            f"; out of reach with so few queries that differ: {beyond} of {len(self.comparisons)}" if beyond else ""
        )
        return f"{TEST_NAMES[self.test]} {against}{corrected}, p ≤ {self.level:g}{too_few}"


def compare(
    scores: Mapping[str, Scores],
    test: Test = "fisher",
    baseline: str | None = None,
    level: float = 0.05,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Significance:
    """Compare systems pair by pair, query by query, on every measure that they share.

    Holm's correction runs over the pairs of one measure. Fisher's test draws as many permutations as it takes for the
    smallest p-value to reach the level after it.

    Args:
        scores: At least two systems, scored on the same queries.
        test: `fisher` or `student`.
        baseline: Compare every other system with this one only; None compares every pair.
        level: Corrected p-values up to this one count as significant.
        pairs: Compare these alone, whatever the baseline.

    Raises:
        UserError: For an unknown test or baseline, a level that means nothing, or systems that were scored on other
            queries.
    """
    require_test(test, level)
    require_baseline(baseline, scores)
    systems = list(scores)
    _check_same_queries(scores)
    measures = [
        name for name in scores[systems[0]].measures if all(name in scores[system].measures for system in systems)
    ]
    if pairs is None:
        others = [other for other in systems if other != baseline]
        pairs = [(baseline, other) for other in others] if baseline else [*combinations(systems, 2)]
    comparisons = [found for name in measures for found in _compare_on(name, pairs, scores, test, level)]
    return Significance(systems, test, level, baseline, comparisons)


def require_test(test: str, level: float) -> None:
    """Refuse a test that is none, and a level that no p-value could pass or fail.

    Raises:
        UserError: For an unknown test or a level outside its range.
    """
    one_of("test", test, TEST_NAMES)
    if not 0 < number("level", level) < 1:
        raise UserError(f"level={level} must be above 0 and below 1, such as 0.05.")
    if test == "fisher" and level < LEAST_LEVEL:
        raise UserError(f"level={level:g} is below {LEAST_LEVEL:g}, the least for test=fisher; use test=student.")


def require_baseline(baseline: str | None, systems: Iterable[str]) -> None:
    """Refuse a baseline that is not there.

    Raises:
        UserError: When it is not among the systems; the nearest ones are named.
    """
    systems = list(systems)
    if baseline is not None and baseline not in systems:
        raise UserError(f"baseline={baseline} is not among the systems compared; {nearest(baseline, systems)}")


def _check_same_queries(scores: Mapping[str, Scores]) -> None:
    first, *others = scores
    for other in others:
        if scores[other].query_ids != scores[first].query_ids:
            raise UserError(
                f"{first} and {other} were scored on different queries, so they cannot be compared query by query; "
                "score both with the same judgements."
            )


def _compare_on(
    measure: str, pairs: Sequence[tuple[str, str]], scores: Mapping[str, Scores], test: Test, level: float
) -> Iterator[Comparison]:
    permutations = max(PERMUTATIONS, math.ceil(len(pairs) / level))
    values = {system: scores[system].per_query[measure] for pair in pairs for system in pair}
    p_values, least = [], []
    for pair in pairs:
        first, second = (values[system] for system in pair)
        p_values.append(fisher(first, second, permutations, level) if test == "fisher" else student(first, second))
        least.append(least_p_value(first, second, test, permutations))
    # Holm's correction never falls where a p-value rises, so nothing below the corrected least values can be had.
    for pair, p_value, corrected, best in zip(pairs, p_values, holm(p_values), holm(least), strict=True):
        difference = float(values[pair[1]].mean() - values[pair[0]].mean())
        yield Comparison(measure, *pair, difference, p_value, corrected, best <= level)


def least_p_value(first: np.ndarray, second: np.ndarray, test: Test, permutations: int) -> float:
    """Give the smallest p-value that a test could find between systems that differ on so many queries.

    Args:
        first: One value for each query, shape [queries].
        second: The same queries' values for the other system, shape [queries].
        test: `fisher` or `student`.
        permutations: Sign patterns that Fisher's test draws.
    """
    if test == "student":
        return 0.0 if _spread(first, second) else 1.0
    differing = int(np.count_nonzero(second - first))
    return min(1.0, 2.0 ** (1 - differing)) if differing <= EXACT_UP_TO else 1 / (permutations + 1)


def _spread(first: np.ndarray, second: np.ndarray) -> bool:
    """Tell whether differences vary from query to query by more than rounding, as the t-test must have it."""
    differences = second - first
    return len(differences) > 1 and bool(np.ptp(differences) > 1e-9 * np.abs(differences).max())


def fisher(
    first: np.ndarray,
    second: np.ndarray,
    permutations: int = PERMUTATIONS,
    level: float = 1.0,
    seed: int = 0,
) -> float:
    """Compute the two-sided p-value of Fisher's paired randomisation test of equal means.

    Under the null hypothesis each query's difference is as likely with the other sign (Smucker, Allan and Carterette,
    CIKM 2007, section 3.1). With few differing queries every sign pattern is counted; otherwise patterns are drawn and
    the observed one counts among them, so that p is never 0 (Phipson and Smyth, 2010). This is ranx's test with the
    generator under control: ranx draws in threads that its seed does not reach, and gave 0.186 to 0.223 for one pair.

    Args:
        first: One value for each query, shape [queries].
        second: The same queries' values for the other system, shape [queries].
        permutations: Sign patterns drawn.
        level: Past the first 10,000, no more are drawn once p is sure to be above it.
        seed: Of the generator that draws them.
    """
    differences = (second - first).astype(np.float64)
    differences = differences[differences != 0]
    if len(differences) == 0:
        return 1.0
    # Sums that are equal in exact arithmetic differ by rounding; they must count as equally extreme.
    observed = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if len(differences) <= EXACT_UP_TO:
        patterns = np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ differences) >= observed))
    generator = np.random.default_rng(seed)
    block = min(PERMUTATIONS, max(1, 10_000_000 // len(differences)))
    extreme = drawn = 0
    while drawn < permutations:
        if drawn >= PERMUTATIONS and extreme + 1 > level * (permutations + 1):
            break
        rows = min(block, permutations - drawn)
        signs = 1.0 - 2.0 * generator.integers(0, 2, (rows, len(differences)), dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs(signs @ differences) >= observed))
        drawn += rows
    return (extreme + 1) / (drawn + 1)


def student(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the two-sided p-value of Student's paired t-test of equal means, through ranx.

    Where every query differs by the same, there is no variance to judge by, and nothing is found.

    Args:
        first: One value for each query, shape [queries].
        second: The same queries' values for the other system, shape [queries].
    """
    if not _spread(first, second):
        return 1.0
    from ranx.statistical_tests import paired_student_t_test  # late: ranx takes seconds to import

    p_value, _ = paired_student_t_test(first, second)
    return float(p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, controlling the chance of any false finding (Holm, 1979).

    Args:
        p_values: Those of one family of tests.

    Returns:
        Corrected p-values in the same order: the i-th smallest of m times m - i + 1, made monotone and at most 1.
    """
    count = len(p_values)
    corrected = [0.0] * count
    highest = 0.0
    for rank, position in enumerate(sorted(range(count), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (count - rank) * p_values[position]))
        corrected[position] = highest
    return corrected
