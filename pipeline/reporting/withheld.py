"""The experiment on withheld facts: can fine-tuning add what pre-training did not have?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.withheld import QUARTERS
from pipeline.evaluation.statistics import LEAST_CLUSTERS, Interval
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.charts import forest
from pipeline.reporting.plurals import counted
from pipeline.reporting.quarters import EFFECTS, STATES, Estimates, Pair, estimate, read_quarters
from pipeline.reporting.scored_weights import weights_notes
from pipeline.reporting.section import Chart, Row, Section, Table, interval_words
from pipeline.reporting.settings import identity
from pipeline.reporting.words import measure_words, told

MEASURES = ("mrr@10", "ndcg@10")
UNEVEN = ("pretraining", "dataset.rotation")
"""Settings in which the runs of one experiment may differ, beside the seed."""
LOSSES = ("loss_before", "loss", "loss_on_read", "unigram_entropy")
"""What a masked-LM record says of how much was learned, in nats."""

NOTE = (
    "In brackets: 95% bootstrap intervals that draw whole {units} within each quarter, over all rotations at once. They "
    "cover which {units} there were, not which seeds were drawn, and are not corrected for their number."
)


@dataclass(frozen=True)
class Experiment:
    """Runs over the same paragraphs by the same recipe, with and without the masked-LM step.

    Attributes:
        name: The dataset's.
        pairs: One for each seed that has both.
        lonely: Runs whose twin is missing.
        measures: Those that are reported, the first in words.
    """

    name: str
    pairs: Sequence[Pair]
    lonely: Sequence[Cell]
    measures: Sequence[str]

    @property
    def unit(self) -> str:
        """What was put into a quarter as a whole: an article or a paragraph."""
        return str(self.dataset["unit"])

    @property
    def dataset(self) -> dict[str, Any]:
        """The settings of the dataset."""
        return self.pairs[0].without.config["dataset"]


def section(cells: Cells) -> Section | None:
    """Compare the four quarters, before and after fine-tuning, with and without the masked-LM step."""
    tested = [cell for cell in cells if cell.trains and cell.config and read_quarters(cell)]
    if not tested:
        return None
    experiments = _experiments(tested)
    lonely = [
        f"{cell.name} has no twin {_other(cell)} the masked-LM step." for one in experiments for cell in one.lonely
    ]
    experiments = [one for one in experiments if one.pairs]
    found = {one.name: {name: estimate(one.pairs, name) for name in one.measures} for one in experiments}
    first = {one.name: found[one.name][one.measures[0]] for one in experiments}
    return Section(
        "Withheld facts: can fine-tuning add what pre-training did not have?",
        findings=[sentence for one in experiments for sentence in _findings(one, first[one.name])],
        tables=[table for number, one in enumerate(experiments) for table in _tables(number, one, found[one.name])],
        charts=[_chart(first, experiments[0].measures[0])] if experiments else [],
        notes=[
            *weights_notes(pair.without for one in experiments for pair in one.pairs),
            *(note for one in experiments for note in _notes(one, first[one.name])),
            *lonely,
        ],
    )


def _experiments(cells: Sequence[Cell]) -> list[Experiment]:
    """Put together what differs in seed, rotation and the masked-LM step alone, and pair the runs with their twins."""
    alike: dict[Any, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(identity(cell.config, UNEVEN), []).append(cell)
    names = [cell[0].metrics["dataset"] for cell in alike.values()]
    return [
        _experiment(together, name if names.count(name) == 1 else f"{name} ({names[: number + 1].count(name)})")
        for number, (together, name) in enumerate(zip(alike.values(), names, strict=True))
    ]


def _experiment(cells: Sequence[Cell], name: str) -> Experiment:
    plain, after = ({_draw(cell): cell for cell in cells if _after_step(cell) is step} for step in (False, True))
    both = [draw for draw in plain if draw in after]
    lonely = [cell for draw, cell in [*plain.items(), *after.items()] if draw not in both]
    measures = [measure for measure in MEASURES if measure in cells[0].metrics["measures"]]
    pairs = [Pair(plain[draw], after[draw]) for draw in both]
    return Experiment(name, pairs, lonely, measures or cells[0].metrics["measures"][:1])


def _draw(cell: Cell) -> tuple[int | None, int]:
    return cell.seed, int(cell.config["dataset"].get("rotation", 0))


def _after_step(cell: Cell) -> bool:
    return bool(cell.pretraining)


def _other(cell: Cell) -> str:
    return "without" if _after_step(cell) else "with"


def _findings(experiment: Experiment, estimates: Estimates) -> list[str]:
    """Say what can be told of having been trained on, read, and both."""
    name, effects, measure = experiment.name, estimates.effects, measure_words(experiment.measures[0])
    unit, rest = experiment.unit, _rest(experiment, estimates)
    read = "having been read by the masked-LM step"
    if not all(pair.after.pretraining.get("learned") for pair in experiment.pairs):
        read = "having been given to a masked-LM step that did not clearly learn more than word frequencies"
    trained = _effect(
        f"fine-tuning on questions about one {unit}", "other questions about it", effects["trained on"], measure
    )
    before = _effect(read, f"questions about one {unit}", effects["read, before"], measure)
    after = _effect("the same", "them", effects["read, after"], measure)
    return [
        f"{name}: {trained}, against {unit}s neither read nor trained on ({rest}).",
        f"{name}: before fine-tuning, {before}; after it, {after}; against {unit}s neither read nor trained on ({rest}).",
        f"{name}: {_less(effects['trained on, less read'], measure)}; {_both(effects['both, beyond the sum'], measure)} "
        f"({rest}).",
    ]


def _effect(cause: str, questions: str, effect: Interval, measure: str) -> str:
    by = interval_words(effect, signed=True)
    if not told(effect):
        return f"{cause} cannot be told to raise or lower {measure} of {questions} ({by})"
    return f"{cause} {'raises' if effect.mean > 0 else 'lowers'} {measure} of {questions} by {by}"


def _less(effect: Interval, measure: str) -> str:
    by = f"{interval_words(effect, signed=True)} {measure}"
    if not told(effect):
        return f"having been trained on cannot be told apart from having been read, after fine-tuning ({by})"
    return f"having been trained on is worth {'more' if effect.mean > 0 else 'less'} than having been read ({by})"


def _both(effect: Interval, measure: str) -> str:
    by = f"{interval_words(effect, signed=True)} {measure}"
    if not told(effect):
        return f"whether both together are worth more or less than their sum cannot be told ({by})"
    return f"both together are worth {'more' if effect.mean > 0 else 'less'} than their sum ({by})"


def _rest(experiment: Experiment, estimates: Estimates) -> str:
    """Say what a finding rests on."""
    questions = len(experiment.pairs[0].without.scores["dense"].query_ids)
    seeds = len(experiment.pairs)
    over = f"{seeds} seeds" if seeds > 1 else "one seed, another may differ"
    few = ""
    if estimates.too_few:
        few = f"; no intervals, for which {LEAST_CLUSTERS} are needed, so that nothing can be told"
    return f"{counted(questions, 'test question')}, at least {counted(estimates.clusters, experiment.unit)} in a quarter, {over}{few}"


def _tables(number: int, experiment: Experiment, found: dict[str, Estimates]) -> list[Table]:
    means: list[Row] = [
        {"measure": measure_words(name), "quarter": quarter}
        | {state: estimates.means[quarter][state] for state in STATES}
        for name, estimates in found.items()
        for quarter in QUARTERS
    ]
    effects: list[Row] = [
        {"effect": effect} | {measure_words(name): estimates.effects[effect] for name, estimates in found.items()}
        for effect in EFFECTS
    ]
    told_by = (
        "Trained on: fine-tuned minus zero-shot, on trained minus on neither. Read: with the masked-LM step minus without, "
        "on read minus on neither, before and after fine-tuning. Both: that step's difference after fine-tuning, on (both - "
        "trained) - (read - neither)."
    )
    note = NOTE.format(units=f"{experiment.unit}s")
    if any(estimates.too_few for estimates in found.values()):
        note = f"Without intervals: fewer than {LEAST_CLUSTERS} {experiment.unit}s to draw from in some quarter."
    return [
        Table(f"withheld-{number}-quarters", f"{experiment.name}: test questions by quarter", means, note),
        Table(
            f"withheld-{number}-effects", f"{experiment.name}: differences of differences", effects, f"{told_by} {note}"
        ),
    ]


def _chart(found: dict[str, Estimates], measure: str) -> Chart:
    rows = [(effect, [estimates.effects[effect] for estimates in found.values()]) for effect in EFFECTS]
    return Chart(
        "What having been read and having been trained on are worth",
        forest(rows, list(found), f"difference in {measure_words(measure)}"),
        "An interval that holds 0 leaves open whether there is an effect.",
    )


def _notes(experiment: Experiment, estimates: Estimates) -> list[str]:
    """Say what was done to the base, and what the figures do not say."""
    name, notes = experiment.name, []
    rotations = {_draw(pair.without)[1] % len(QUARTERS) for pair in experiment.pairs}
    if len(rotations) < len(QUARTERS):
        notes.append(
            f"{name}: {len(rotations)} of {len(QUARTERS)} rotations; what lies in a quarter by chance has not been evened "
            "out."
        )
    records = [pair.after.pretraining for pair in experiment.pairs]
    if unlearned := sum(not record.get("learned") for record in records):
        notes.append(
            f"{name}: in {unlearned} of {counted(len(records), 'seed')} the masked-LM step did not learn clearly more than word "
            "frequencies, by its loss on text that it was not given; what it read cannot be called known."
        )
    losses = {key: float(np.mean([record.get(key, np.nan) for record in records])) for key in LOSSES}
    if not any(map(np.isnan, losses.values())):
        before, after, read, entropy = losses.values()
        notes.append(
            f"{name}: the masked-LM step took the loss from {before:.2f} to {after:.2f} nats on text that it was not given "
            f"(word frequencies alone: {entropy:.2f}), and ended at {read:.2f} on what it read."
        )
    if estimates.too_few:
        notes.append(
            f"{name}: there are no intervals, because some quarter has {counted(estimates.clusters, experiment.unit)} alone "
            f"that play the same roles in all rotations, and drawing fewer than {LEAST_CLUSTERS} again and again says "
            "nothing of others; take more paragraphs or unit=paragraph."
        )
    if not experiment.dataset.get("rename_entities"):
        notes.append(
            f"{name}: the published weights may know these texts already; the variant with renamed entities "
            "(dataset.rename_entities=true) is the control."
        )
    if experiment.unit == "paragraph":
        notes.append(f"{name}: paragraphs of one article may lie in different quarters and tell of each other.")
    return notes
