"""By how much edits change what queries retrieve: on the queries of the edited facts, and on others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.significance import fisher, holm
from pipeline.evaluation.statistics import bootstrap
from pipeline.probing.intervention.cases import Case
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.progress import progress

AFFECTED, HELD_OUT, CONTROL = "affected", "held out", "control"
"""All queries of the edited facts, those among them that attribution did not see, and queries of other facts."""
MINUS = " − "


@dataclass(frozen=True)
class Change:
    """The same queries before and after.

    Attributes:
        before: float64 [queries, measures].
        after: The same; of several draws of a control the mean.
        queries: Their ids; a query occurs once for each edit that it was tried under.
        clusters: What is drawn together in a bootstrap, [queries]: a query under several edits, or the queries of a fact.
    """

    before: np.ndarray
    after: np.ndarray
    queries: Sequence[str]
    clusters: np.ndarray

    def only(self, rows: np.ndarray) -> "Change":
        """Keep some rows."""
        queries = [self.queries[row] for row in rows]
        return Change(self.before[rows], self.after[rows], queries, self.clusters[rows])


Changes = dict[tuple[str, str], Change]
"""By how the edited parts were chosen, and by group of queries."""


def changes_under(retrieval: EditedRetrieval, cases: Sequence[Case], controls: Sequence[str]) -> Changes:
    """Try every edit of every case.

    Args:
        retrieval: Scores queries under edits.
        cases: At least one.
        controls: Ids of the queries that no case affects.

    Returns:
        Only selections that every case has.
    """
    selections = [name for name in cases[0].edits if all(name in case.edits for case in cases)]
    found: dict[tuple[str, str], list[Change]] = {}
    rows_of = [retrieval.subject.split.queries.positions([*case.affected, *controls]) for case in cases]
    unedited = [retrieval.unedited(rows) for rows in rows_of]
    total = sum(
        retrieval.texts(edits, rows)
        for case, rows in zip(cases, rows_of, strict=True)
        for name in selections
        for edits in case.edits[name]
    )
    with progress(f"Encoding by {retrieval.model.name} under edits", total, "texts") as advance:
        for number, (case, rows, before) in enumerate(zip(cases, rows_of, unedited, strict=True)):
            clusters = _clusters(case, controls, number if len(cases) > 1 else None)
            for name in selections:
                after = np.mean([retrieval.under(edits, rows, advance) for edits in case.edits[name]], axis=0)
                whole = Change(before, after, [*case.affected, *controls], clusters)
                for group, some in _groups(case, len(rows)).items():
                    found.setdefault((name, group), []).append(whole.only(some))
    return {key: change for key, parts in found.items() if (change := joined(parts)).queries}


def _groups(case: Case, rows: int) -> dict[str, np.ndarray]:
    """Say which rows are of which group: the affected queries stand before the controls."""
    affected = len(case.affected)
    held_out = np.isin(case.affected, case.held_out)
    return {
        AFFECTED: np.arange(affected),
        HELD_OUT: np.flatnonzero(held_out),
        CONTROL: np.arange(affected, rows),
    }


def joined(parts: Sequence[Change]) -> Change:
    """Put changes one after the other."""
    return Change(
        np.concatenate([part.before for part in parts]),
        np.concatenate([part.after for part in parts]),
        [query for part in parts for query in part.queries],
        np.concatenate([part.clusters for part in parts]),
    )


def change_rows(changes: Mapping[tuple[str, str], Change], measures: Sequence[str]) -> list[dict[str, Any]]:
    """Tabulate mean changes with 95% intervals and tests, and how the first selection differs from each control.

    Intervals draw clusters. Fisher's test compares the clusters' means; Holm's correction runs over the rows of one
    measure.

    Args:
        changes: By selection and group, the chosen parts first.
        measures: Names of the columns.
    """
    selections = list(dict.fromkeys(name for name, _ in changes))
    compared = dict(changes)
    for control in selections[1:]:
        for group in dict.fromkeys(group for _, group in changes):
            first, other = changes[selections[0], group], changes[control, group]
            difference = Change(other.after, first.after, first.queries, first.clusters)
            compared[f"{selections[0]}{MINUS}{control}", group] = difference
    return [row for place, name in enumerate(measures) for row in _rows_of(compared, place, name)]


def _rows_of(changes: Mapping[tuple[str, str], Change], place: int, measure: str) -> Iterator[dict[str, Any]]:
    """Tabulate one measure."""
    rows, p_values = [], []
    for (selection, group), change in changes.items():
        before, after = change.before[:, place], change.after[:, place]
        interval = bootstrap(after - before, change.clusters)
        p_values.append(fisher(*_cluster_means(before, after, change.clusters)))
        rows.append(
            {
                "selection": selection,
                "group": group,
                "measure": measure,
                "queries": len(set(change.queries)),
                "clusters": len(np.unique(change.clusters)),
                "before": float(before.mean()),
                "after": float(after.mean()),
                "change": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "p_value": p_values[-1],
            }
        )
    for row, corrected in zip(rows, holm(p_values), strict=True):
        yield {**row, "p_corrected": corrected}


def _cluster_means(before: np.ndarray, after: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, members, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    return np.bincount(members, before) / counts, np.bincount(members, after) / counts


def _clusters(case: Case, controls: Sequence[str], number: int | None) -> np.ndarray:
    """Say what belongs together: a control query with itself under other edits, and of affected queries those of a fact.

    Args:
        case: Whose affected queries come first.
        controls: The queries that follow.
        number: Of the case, where each case has one fact and an edit of its own; None where there is one edit for all.
    """
    fact_of = {query: place for place, fact in enumerate(case.facts) for query in fact.queries}
    if number is not None:
        affected = [number] * len(case.affected)
    elif len(case.facts) == 1:  # of the only fact there is, queries are all that can be drawn
        affected = list(range(len(case.affected)))
    else:
        affected = [fact_of[query] for query in case.affected]
    return np.array([*affected, *range(len(controls))])


def change_in_words(row: Mapping[str, Any]) -> str:
    """Say a change with its interval, where there is one."""
    if np.isnan(row["low"]):
        return f"{row['change']:+.4f} (too few for an interval)"
    return f"{row['change']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
