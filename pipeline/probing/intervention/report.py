"""What interventions found: figures, a picture and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pipeline.evaluation.statistics import SIGNIFICANT
from pipeline.probing.intervention.cases import EQUALLY_ACTIVE, GIVEN, RANDOM, Case, Plan
from pipeline.probing.intervention.changes import AFFECTED, CONTROL, HELD_OUT, MINUS, Changes, change_in_words
from pipeline.probing.intervention.picture import draw_changes
from pipeline.probing.outcome import Outcome, Picture

LEAST_TESTED = 6
"""Of fewer clusters no arrangement of signs is rarer than the level."""
DOING = {
    "suppress": "Suppressing",
    "erase": "Erasing",
    "amplify": "Multiplying by {factor:g}",
    "patch": "Taking from the first model",
}


class Report:
    """Gathers what was found of each model.

    Args:
        plan: What was done.
        measures: Names, the first one for the sentences.
        split: Whose queries.
        base: The first model, which has a colour of its own.
    """

    def __init__(self, plan: Plan, measures: Sequence[str], split: str, base: str) -> None:
        self.plan = plan
        self.measures = list(measures)
        self.split = split
        self.base = base
        self.rows: list[dict[str, Any]] = []
        self.per_query: list[dict[str, Any]] = []
        self.places: list[dict[str, Any]] = []
        self.findings: list[str] = []

    def add(
        self, model: str, cases: Sequence[Case], facts: int, changes: Changes, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add what was found of one model.

        Args:
            model: Its name.
            cases: What was edited.
            facts: How many were looked at; those without a neuron in common are in no case.
            changes: Query by query.
            rows: Of `change_rows`.
        """
        what = {"model": model, "action": self.plan.action, "unit": self.plan.unit}
        self.rows += [{**what, **row} for row in rows]
        self.per_query += [{"model": model, **row} for row in _per_query(changes, self.measures)]
        self.places += [{"model": model, **row} for row in _places(cases, self.plan.unit)]
        self.findings += _sentences(model, cases, facts, self.plan, self.measures[0], self.split, rows)

    def note(self, sentence: str) -> None:
        """Add a sentence."""
        self.findings.append(sentence)

    def outcome(self) -> Outcome:
        """Put everything together; the first measure is what a person sees first."""
        summary = [row for row in self.rows if row["measure"] == self.measures[0]]
        models = len({row["model"] for row in self.rows})
        picture = Picture(self._draw, (3.6 * len(self.measures) + 1.6, 0.8 + 2.2 * models))
        return Outcome(
            summary,
            {"changes": self.rows, "per_query": self.per_query, "places": self.places},
            self.findings,
            {"changes": picture},
        )

    def _draw(self, figure: Figure) -> None:
        draw_changes(figure, [row for row in self.rows if MINUS not in row["selection"]], self.measures, self.base)


def _per_query(changes: Changes, measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    for (selection, group), change in changes.items():
        for place, query in enumerate(change.queries):
            row = {"selection": selection, "group": group, "cluster": int(change.clusters[place]), "query": query}
            for column, measure in enumerate(measures):
                row |= {
                    f"{measure} before": change.before[place, column],
                    f"{measure} after": change.after[place, column],
                }
            yield row


def _places(cases: Sequence[Case], unit: str) -> Iterator[dict[str, Any]]:
    for case in cases:
        fact = case.facts[0].document if len(case.facts) == 1 else f"{len(case.facts)} facts"
        for kind, places in case.places.items():
            for place in places:
                yield {"fact": fact, "tower": kind, "layer": place[0], unit[:-1]: place[-1]}


def _sentences(
    model: str,
    cases: Sequence[Case],
    facts: int,
    plan: Plan,
    measure: str,
    split: str,
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Say what changed, against which controls, and whether that is more than chance."""
    of = {(row["selection"], row["group"]): row for row in rows if row["measure"] == measure}
    first = next(iter(of))[0]
    affected, control = of[first, AFFECTED], of[first, CONTROL]
    yield (
        f"{model}: {DOING[plan.action].format(factor=plan.factor)} {_what(first, cases, plan)} changed {measure} on the"
        f" {affected['queries']} affected queries of the {split} split by {change_in_words(affected)}, from"
        f" {affected['before']:.4f} to {affected['after']:.4f}, and on {control['queries']} control queries by"
        f" {change_in_words(control)}."
    )
    for name, words in ((RANDOM, "as many random"), (EQUALLY_ACTIVE, "as many random, equally active")):
        if (name, AFFECTED) not in of:
            yield f"{model}: no {words.removeprefix('as many ')} {plan.unit} as a control: {_why_none(name, plan)}"
            continue
        yield (
            f"{model}: {words} {plan.unit} (mean of {_times(plan.control_seeds)}) changed it by {change_in_words(of[name, AFFECTED])}"
            f" and {change_in_words(of[name, CONTROL])}; the {first} ones did {_verdict(of[first + MINUS + name, AFFECTED])}"
        )
    if (first, HELD_OUT) in of:
        held_out = of[first, HELD_OUT]
        yield (
            f"{model}: on the {held_out['queries']} affected queries that attribution had not seen, the change was"
            f" {change_in_words(held_out)}; {_held_out(of.get((first + MINUS + EQUALLY_ACTIVE, HELD_OUT)))}"
        )
    if first != GIVEN and len(cases) < facts:
        yield f"{model}: the texts about {facts - len(cases)} of {facts} facts have no neuron in common; they are left out."


def _what(first: str, cases: Sequence[Case], plan: Plan) -> str:
    """Name what was edited."""
    counts = [len(places) for case in cases for places in case.places.values()]
    many = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    facts = sum(len(case.facts) for case in cases)
    if first == GIVEN:
        return f"the {many} given {plan.unit} (the same for all {facts} facts)"
    return f"the {many} {plan.unit} attributed to each of {facts} facts"


def _verdict(row: Mapping[str, Any]) -> str:
    """Say whether two edits differ on the affected queries."""
    tested = f"difference {change_in_words(row)}, corrected p = {row['p_corrected']:.3g}"
    if row["clusters"] < LEAST_TESTED:
        return (
            f"not differ from them as far as {row['clusters']} can tell ({tested}; take {LEAST_TESTED} facts or more)."
        )
    if row["p_corrected"] > SIGNIFICANT:
        return f"not differ significantly from them on the affected queries ({tested})."
    return f"{'less' if row['change'] > 0 else 'more'} harm on the affected queries ({tested})."


def _times(draws: int) -> str:
    return "1 draw" if draws == 1 else f"{draws} draws"


def _why_none(control: str, plan: Plan) -> str:
    if control == EQUALLY_ACTIVE and plan.unit == "layers":
        return "how active a layer is cannot be said."
    return f"too few others are left beside the {plan.unit} that are edited."


def _held_out(row: Mapping[str, Any] | None) -> str:
    """Say whether other words for the same facts are touched more than by a control."""
    if row is None:
        return "without a control, nothing can be said of more than the queries' words."
    against = f"against equally active {change_in_words(row)}, corrected p = {row['p_corrected']:.3g}"
    if row["change"] < 0 and row["p_corrected"] <= SIGNIFICANT:
        return f"more harm than by the control ({against}), so more than the queries' words was found."
    return f"not shown to be more harm than by the control ({against}), nor that more than words was found."
