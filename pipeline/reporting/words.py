"""How findings are worded: measures, shares, and what the data do not allow to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.cells import Group
from pipeline.reporting.plurals import counted_queries
from pipeline.reporting.section import interval_words

Item = TypeVar("Item")

FEW_QUERIES = 50
NAMES = {"ndcg": "nDCG", "mrr": "MRR", "map": "MAP"}
COVERS = (
    "In brackets: 95% bootstrap intervals over queries of the mean over seeds (2,000 draws). They cover which queries were "
    "asked, not which seeds were drawn."
)


def measure_words(name: str) -> str:
    """Write a measure as the field does: `nDCG@10`."""
    kind, at, cutoff = name.partition("@")
    return f"{NAMES.get(kind, kind)}{at}{cutoff}"


def signed(interval: Interval) -> str:
    """Write a difference with its interval and its sign."""
    return interval_words(interval, signed=True)


def percent(interval: Interval) -> str:
    """Write a share with its interval, in percent."""
    if interval.low != interval.low:
        return f"{interval.mean:.0%}"
    return f"{interval.mean:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


def told(interval: Interval) -> bool:
    """Whether an interval says which way a difference goes; without one, nothing is said."""
    return interval.low == interval.low and interval.excludes_zero


def strength(interval: Interval | None) -> float:
    """Give how far a difference is from nothing, in halves of its interval's width: above 1, it is told from 0."""
    if interval is None or interval.low != interval.low:
        return 0.0
    return abs(interval.mean) / max((interval.high - interval.low) / 2, 1e-12)


def strongest(items: Sequence[Item], differences: Sequence[Interval], most: int) -> list[Item]:
    """Keep so many items, those whose differences are the strongest, in their order."""
    ranked = sorted(range(len(items)), key=lambda place: -strength(differences[place]))
    return [items[place] for place in sorted(ranked[:most])]


@dataclass(frozen=True)
class Finding:
    """A sentence, and how much there is to it.

    Attributes:
        sentence: With its interval and its control.
        strength: Of the difference that it tells of; see `strength`.
        place: Findings of a lower one come first, however strong others are.
    """

    sentence: str
    strength: float
    place: int = 0


def most_telling(findings: Sequence[Finding], most: int) -> list[str]:
    """Order findings, the strongest first, keep so many, and say how many more there are."""
    ordered = sorted(findings, key=lambda finding: (finding.place, -finding.strength))
    said = [finding.sentence for finding in ordered[:most]]
    more = len(ordered) - most
    return [*said, f"{more} more of this kind, less telling, are in the tables."] if more > 0 else said


def basis(group: Group, seeds: int | None) -> str:
    """Say what a finding rests on, and how little where it is little; None seeds: nothing in it was drawn."""
    few = "only " if group.queries < FEW_QUERIES else ""
    over = {None: "", 1: ", one seed, another may differ"}.get(seeds, f", mean over {seeds} seeds")
    return f"{few}{counted_queries(group.queries)}{over}"
