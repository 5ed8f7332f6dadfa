"""Which queries gained and which lost, with their texts."""

from dataclasses import dataclass

import numpy as np

from pipeline.reporting.cells import Cells, Group
from pipeline.reporting.configurations import Configuration, configurations
from pipeline.reporting.plurals import counted_queries
from pipeline.reporting.section import Row, Section, Table
from pipeline.reporting.words import measure_words

SHOWN = 8
"""Of those that gained most, and of those that lost most."""
LONGEST = 300
"""Letters of a query's text."""


@dataclass(frozen=True)
class Change:
    """What each query earned before and after, [queries] each, and what both are called."""

    before: np.ndarray
    after: np.ndarray
    words: tuple[str, str]
    of: str
    texts: dict[str, str]


def section(cells: Cells) -> Section | None:
    """Tabulate, for each group, the queries that changed most between zero-shot and dense, or the two best systems."""
    found = [(group, change) for group in cells.groups() if (change := _change(group))]
    changes = [(group, change) for group, change in found if (change.after != change.before).any()]
    tables = [_table(group, change, number) for number, (group, change) in enumerate(changes, start=1)]
    return Section("Queries that gained and lost", tables=tables) if tables else None


def _change(group: Group) -> Change | None:
    measure = group.measures[0]
    found = sorted(configurations(group), key=lambda one: -float(one.values(measure).mean()))
    texts = group.cells[0].queries
    trained = [one for one in found if one.cells[0].trains and one.has("zero_shot") and _changed(one, measure)]
    if trained:
        best = trained[0]
        before, after = best.values(measure, "zero_shot"), best.values(measure)
        return Change(before, after, ("zero-shot", "trained"), f"{best.name}, {_seeds(best)}", texts)
    if len(found) > 1:
        words = (found[1].name, found[0].name)
        return Change(found[1].values(measure), found[0].values(measure), words, "the two best systems", texts)
    return None


def _changed(one: Configuration, measure: str) -> bool:
    """Whether anything changed; where untrained weights were kept, nothing has."""
    return bool((one.values(measure, "zero_shot") != one.values(measure)).any())


def _seeds(one: Configuration) -> str:
    return f"mean over {one.seeds} seeds" if one.seeds > 1 else "one seed"


def _table(group: Group, change: Change, number: int) -> Table:
    gain = change.after - change.before
    order = np.argsort(-gain, kind="stable")
    lost = [place for place in order[::-1][:SHOWN] if gain[place] < 0]
    chosen = [*(place for place in order[:SHOWN] if gain[place] > 0), *reversed(lost)]
    texts = list(change.texts.items())
    first, second = change.words
    rows: list[Row] = [
        {
            "query": _short(texts[place][1] or texts[place][0]),
            first: float(change.before[place]),
            second: float(change.after[place]),
            "gain": float(gain[place]),
        }
        for place in chosen
    ]
    counts = [int(np.count_nonzero(there)) for there in (gain > 0, gain < 0, gain == 0)]
    return Table(
        f"queries-{number}",
        f"{measure_words(group.measures[0])} from {first} to {second}: {group.title}",
        rows,
        f"Of {change.of}: {counted_queries(counts[0])} gained, {counts[1]:,} lost, {counts[2]:,} stayed. Shown are those that "
        "changed most, chosen for that: examples, not evidence.",
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
