"""Pre-training x fine-tuning: what was there before, what fine-tuning adds, and whether it adds more to one base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import Base, base_of, warning
from pipeline.reporting.cells import Cell, Cells, Group
from pipeline.reporting.charts import forest
from pipeline.reporting.configurations import Configuration, configurations, setting_words
from pipeline.reporting.estimates import difference, gains, interaction, interval_of, matched, share_before
from pipeline.reporting.section import Chart, Section, Table, interval_words
from pipeline.reporting.settings import identity
from pipeline.reporting.words import COVERS, basis, fewest, measure_words, percent, signed, told

OF_THE_BASE = ("base", "backbone", "pretraining", "init")
"""Settings that say what a training begins from; all others are its recipe."""
MOST_FINDINGS = 6
MOST_DRAWN = 30
FINE_TUNING = ("dpr", "joint", "")
"""Stages that train the document tower from the start; of older folders it is not known."""


@dataclass(frozen=True)
class Tuned:
    """A configuration that was scored before and after its training, and what it began from."""

    configuration: Configuration
    base: Base

    @property
    def cells(self) -> Sequence[Cell]:
        """One for each seed."""
        return self.configuration.cells

    @property
    def recipe(self) -> object:
        """What two trainings share that differ in their base and seed only."""
        return identity(self.cells[0].config, OF_THE_BASE)

    @property
    def stage(self) -> str:
        """What was trained, by the stage's name."""
        return str((self.cells[0].config.get("stage") or {}).get("name", ""))

    @property
    def recipe_settings(self) -> dict[str, str]:
        """What tells its recipe apart from others, by column."""
        settings = self.configuration.settings
        return {key: value for key, value in settings.items() if key.split(".")[0] not in OF_THE_BASE}


def section(cells: Cells) -> Section | None:
    """Compare every training's scores before and after, and bases under one recipe with each other."""
    tables, charts, warnings = [], [], []
    controlled: list[str] = []
    alone: list[str] = []
    for number, group in enumerate(cells.groups(), start=1):
        tuned = _tuned(group)
        if not tuned:
            continue
        warnings += [said for one in tuned if (said := warning(one.base, one.cells[0]))]
        tables.append(_before_and_after(group, tuned, number))
        charts.append(_chart(group, tuned))
        pairs = [*_pairs(tuned)]
        if pairs:
            tables.append(_interactions(group, pairs, number))
        controlled += [_against_random(group, one, control) for one, control in pairs]
        alone += [f"{group.title}: {_added(group, one)}." for one in tuned if _has_no_control(one, pairs)]
    if not tables:
        return None
    findings = fewest([*controlled, *alone], MOST_FINDINGS)
    uncorrected = "The intervals are not corrected for how many there are: of twenty, one may miss by chance."
    notes = [COVERS, uncorrected, *dict.fromkeys(warnings)]
    return Section("Pre-training and fine-tuning", findings, tables, charts, notes=notes)


def _tuned(group: Group) -> list[Tuned]:
    trained = [one for one in configurations(group) if one.cells[0].trains and one.has("zero_shot")]
    return [Tuned(one, base_of(one.cells[0])) for one in trained]


def _before_and_after(group: Group, tuned: Sequence[Tuned], number: int) -> Table:
    measure = group.measures[0]
    rows: list[dict[str, Any]] = []
    for one in tuned:
        row: dict[str, Any] = {"base": one.base.name, "weights": one.base.weights, **one.recipe_settings}
        row |= {"seeds": one.configuration.seeds}
        row |= {
            "before": one.configuration.interval(measure, "zero_shot"),
            "after": one.configuration.interval(measure),
        }
        row |= {"gain": interval_of(gains(one.cells, measure)), "share before": share_before(one.cells, measure)}
        rows.append(row)
    return Table(
        f"before-and-after-{number}",
        f"{measure_words(measure)} before and after training: {group.title}",
        rows,
        "Share before: the part of the final score that was there before training, above 1 where training did harm.",
    )


def _chart(group: Group, tuned: Sequence[Tuned]) -> Chart:
    measure = group.measures[0]
    rows = [
        (_label(one), [one.configuration.interval(measure, "zero_shot"), one.configuration.interval(measure)])
        for one in tuned[:MOST_DRAWN]
    ]
    left_out = f" The first {MOST_DRAWN} of {len(tuned)}." if len(tuned) > MOST_DRAWN else ""
    title = f"{measure_words(measure)} before and after training: {group.title}"
    return Chart(title, forest(rows, ("before", "after"), measure_words(measure)), f"Lines: 95% intervals.{left_out}")


def _label(one: Tuned) -> str:
    weights = {"random": "random", "masked-LM": "masked-LM", "under-trained": "under-trained"}
    parts = [one.base.name, weights.get(one.base.kind, ""), *one.recipe_settings.values()]
    return ", ".join(part for part in parts if part)


def _pairs(tuned: Sequence[Tuned]) -> Iterator[tuple[Tuned, Tuned]]:
    """Pair every base with random weights under the same recipe: of its own architecture, or else of any other."""
    for one in tuned:
        if one.base.kind != "random" and (control := _control(one, tuned)):
            yield one, control


def _control(one: Tuned, tuned: Sequence[Tuned]) -> Tuned | None:
    candidates = [
        other
        for other in tuned
        if other.base.kind == "random" and other.recipe == one.recipe and matched(one.cells, other.cells)
    ]
    ranked = sorted(candidates, key=lambda other: (not _same_build(one, other), other.base.frozen != one.base.frozen))
    return ranked[0] if ranked else None


def _same_build(one: Tuned, other: Tuned) -> bool:
    return one.base.architecture == other.base.architecture


def _interactions(group: Group, pairs: Sequence[tuple[Tuned, Tuned]], number: int) -> Table:
    measure = group.measures[0]
    rows: list[dict[str, Any]] = []
    for one, control in pairs:
        rows.append(
            {
                "base": one.base.name,
                "weights": one.base.weights,
                **one.recipe_settings,
                "head start": difference(one.cells, control.cells, "zero_shot", measure),
                "gain": interval_of(gains(one.cells, measure)),
                "gain of random": interval_of(gains(control.cells, measure)),
                "interaction": interaction(one.cells, control.cells, measure),
                "lead at the end": difference(one.cells, control.cells, "dense", measure),
                "control": "same architecture" if _same_build(one, control) else control.base.words,
                "seeds": len(matched(one.cells, control.cells)),
            }
        )
    return Table(
        f"interaction-{number}",
        f"Against random weights under the same recipe, in {measure_words(measure)}: {group.title}",
        rows,
        "Interaction: the gain of the base minus the gain of random weights, on the seeds that both have (difference of "
        "differences); below 0, fine-tuning adds less to what knows more already.",
    )


def _has_no_control(one: Tuned, pairs: Sequence[tuple[Tuned, Tuned]]) -> bool:
    return one.base.kind != "random" and all(one is not first for first, _ in pairs)


def _added(group: Group, one: Tuned) -> str:
    """Say what fine-tuning adds to a base, or that it cannot be told."""
    measure = group.measures[0]
    gain = interval_of(gains(one.cells, measure))
    work = "fine-tuning" if one.stage in FINE_TUNING else "training"
    before, after = (one.configuration.interval(measure, system).mean for system in ("zero_shot", "dense"))
    how = ", ".join(setting_words(one.recipe_settings))
    where = f"{one.base.words}{f' ({how})' if how else ''}"
    path = f"{before:.3f} → {after:.3f}, {basis(group, one.configuration.seeds)}"
    if not told(gain):
        return f"before and after {work} {where} cannot be told apart, {signed(gain)} {measure_words(measure)} ({path})"
    verb = "adds" if gain.mean > 0 else "takes"
    share = f"; {percent(share_before(one.cells, measure))} of the final score was there before" * (gain.mean > 0)
    tuned = ", which was tuned for retrieval before" if one.base.tuned_on else ""
    return f"{work} {verb} {signed(gain)} {measure_words(measure)} to {where}{tuned} ({path}{share})"


def _against_random(group: Group, one: Tuned, control: Tuned) -> str:
    measure = group.measures[0]
    gain = interval_of(gains(control.cells, measure))
    reached = interval_words(control.configuration.interval(measure))
    build = (
        "of the same architecture" if _same_build(one, control) else f"of another architecture ({control.base.name})"
    )
    return (
        f"{group.title}: {_added(group, one)}. Control: the same steps from random weights {build} add {signed(gain)} and "
        f"reach {reached}. {_compared(interaction(one.cells, control.cells, measure))}"
    )


def _compared(found: Interval | None) -> str:
    if found is None or not told(found):
        words = f" (difference of differences {signed(found)})" if found else ""
        return f"The two gains cannot be told apart{words}."
    more = "more" if found.mean > 0 else "less"
    return f"Fine-tuning adds {more} to these weights than to random ones: difference of differences {signed(found)}."
