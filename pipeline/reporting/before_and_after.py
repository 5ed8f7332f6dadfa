"""Pre-training x fine-tuning: what was there before, what fine-tuning adds, and whether it adds more to one base."""

from collections.abc import Sequence
from typing import Any

from pipeline.reporting.bases import warnings
from pipeline.reporting.cells import Cells, Group
from pipeline.reporting.charts import forest
from pipeline.reporting.configurations import setting_words
from pipeline.reporting.controls import Pair, against_random, against_random_table, pairs_of
from pipeline.reporting.estimates import gains, interval_of, share_before
from pipeline.reporting.quarters import rotations
from pipeline.reporting.scored_weights import is_below_start, weights_notes
from pipeline.reporting.section import Chart, Section, Table
from pipeline.reporting.tuned import Tuned, added, tuned_in
from pipeline.reporting.words import COVERS, Finding, measure_words, most_telling, strength, strongest

MOST_FINDINGS = 6
MOST_DRAWN = 30


def section(cells: Cells) -> Section | None:
    """Compare every training's scores before and after, and bases under one recipe with each other."""
    tables, charts = [], []
    said: list[Finding] = []
    begun = []
    apart = [group.title for group in rotations(cells)]
    for number, group in enumerate(cells.groups(), start=1):
        tuned = tuned_in(group)
        if not tuned:
            continue
        begun += [(one.base, cell) for one in tuned for cell in one.cells]
        tables.append(_before_and_after(group, tuned, number))
        charts.append(_chart(group, tuned))
        pairs = [*pairs_of(tuned)]
        if pairs:
            tables.append(against_random_table(group, pairs, number))
        if group.title in apart:
            continue
        said += [against_random(group, pair) for pair in pairs]
        said += [_alone(group, one) for one in tuned if _has_no_control(one, pairs)]
    if not tables:
        return None
    findings = most_telling(said, MOST_FINDINGS)
    uncorrected = "The intervals are not corrected for how many there are: of twenty, one may miss by chance."
    notes = [*weights_notes(cell for _, cell in begun), COVERS, uncorrected, *warnings(begun)]
    return Section("Pre-training and fine-tuning", findings, tables, charts, notes=notes)


def _before_and_after(group: Group, tuned: Sequence[Tuned], number: int) -> Table:
    measure = group.measures[0]
    rows: list[dict[str, Any]] = []
    any_below = any(is_below_start(cell) for one in tuned for cell in one.cells)
    for one in tuned:
        row: dict[str, Any] = {"base": one.base.name, "weights": one.base.weights, **one.recipe_settings}
        row |= {"seeds": one.configuration.seeds}
        below = sum(map(is_below_start, one.cells))
        row |= {"below its start": f"{below} of {len(one.cells)}"} if any_below else {}
        row |= {
            "before": one.configuration.interval(measure, "zero_shot"),
            "after": one.configuration.interval(measure),
        }
        row |= {"gain": interval_of(gains(one.cells, measure)), "share before": share_before(one.cells, measure)}
        rows.append(row)
    below_words = (
        "Below its start: seeds whose trained weights are worse on validation than untrained ones. " * any_below
    )
    return Table(
        f"before-and-after-{number}",
        f"{measure_words(measure)} before and after training: {group.title}",
        rows,
        f"{below_words}Share before: the part of the final score that was there before training, where training is told to have added any.",
    )


def _alone(group: Group, one: Tuned) -> Finding:
    """Say what training adds where nothing controls it; such findings come after those that have a control."""
    gain = interval_of(gains(one.cells, group.measures[0]))
    return Finding(f"{group.title}: {added(group, one)}.", strength(gain), place=1)


def _chart(group: Group, tuned: Sequence[Tuned]) -> Chart:
    measure = group.measures[0]
    rows = [
        (_label(one), [one.configuration.interval(measure, "zero_shot"), one.configuration.interval(measure)])
        for one in strongest(tuned, [interval_of(gains(one.cells, measure)) for one in tuned], MOST_DRAWN)
    ]
    left_out = f" Of {len(tuned)} the {MOST_DRAWN} that change most surely." if len(tuned) > MOST_DRAWN else ""
    title = f"{measure_words(measure)} before and after training: {group.title}"
    return Chart(title, forest(rows, ("before", "after"), measure_words(measure)), f"Lines: 95% intervals.{left_out}")


def _label(one: Tuned) -> str:
    weights = {"random": "random", "masked-LM": "masked-LM", "under-trained": "under-trained"}
    parts = [one.base.name, weights.get(one.base.kind, ""), *setting_words(one.recipe_settings)]
    return ", ".join(part for part in parts if part)


def _has_no_control(one: Tuned, pairs: Sequence[Pair]) -> bool:
    return one.base.kind != "random" and all(one is not pair.whole for pair in pairs)
