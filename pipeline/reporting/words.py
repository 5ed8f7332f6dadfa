"""How findings are worded: measures, shares, and what the data do not allow to say."""

from collections.abc import Sequence

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.cells import Group
from pipeline.reporting.plurals import counted_queries
from pipeline.reporting.section import interval_words

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


def fewest(findings: Sequence[str], most: int) -> list[str]:
    """Keep the first findings, and say how many more there are."""
    more = len(findings) - most
    return [*findings[:most], f"{more} more of this kind are in the tables."] if more > 0 else [*findings]


def basis(group: Group, seeds: int | None) -> str:
    """Say what a finding rests on, and how little where it is little; None seeds: nothing in it was drawn."""
    few = "only " if group.queries < FEW_QUERIES else ""
    over = {None: "", 1: ", one seed, another may differ"}.get(seeds, f", mean over {seeds} seeds")
    return f"{few}{counted_queries(group.queries)}{over}"
