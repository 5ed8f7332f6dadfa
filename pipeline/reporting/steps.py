"""Steps to quality: what so many steps of fine-tuning buy, by base."""

from collections.abc import Mapping, Sequence

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import base_of
from pipeline.reporting.cells import Cells, Group
from pipeline.reporting.charts import SERIES, curves
from pipeline.reporting.configurations import Configuration, configurations, setting_words, told_apart
from pipeline.reporting.estimates import difference, interval_of, matched
from pipeline.reporting.plurals import counted
from pipeline.reporting.scored_weights import best_step, weights_notes
from pipeline.reporting.section import Chart, Row, Section, Table
from pipeline.reporting.settings import identity
from pipeline.reporting.words import Finding, basis, measure_words, most_telling, signed, strength, strongest, told

STEPS = "trainer.max_steps"
MOST_FINDINGS = 6
OF_OTHERS = ("trainer", "base", "backbone", "pretraining", "init")
"""Settings that a line's name says otherwise, or that lie along the line."""


def section(cells: Cells) -> Section | None:
    """Draw and tabulate measures against steps where runs differ in their steps."""
    tables, charts, findings, scored = [], [], [], []
    for number, group in enumerate(cells.groups(), start=1):
        lines = _lines(group)
        if not lines:
            continue
        scored += [cell for line in lines.values() for one in line for cell in one.cells]
        tables.append(_table(group, lines, number))
        drawn = {name: _points(lines[name], group.measures[0]) for name in _most_changed(lines, group.measures[0])}
        title = f"{measure_words(group.measures[0])} against steps: {group.title}"
        note = f"Of {len(lines)} lines the {SERIES} that change most surely." if len(lines) > SERIES else ""
        charts.append(Chart(title, curves(drawn, "steps of fine-tuning", measure_words(group.measures[0])), note))
        findings += [said for name, line in lines.items() if (said := _finding(group, name, line))]
    if not tables:
        return None
    note = (
        "Each dot is a run of its own, whose learning rate goes by its own number of steps, not a moment of a longer one; 0 "
        "steps are the scores before training."
    )
    notes = [note, *weights_notes(scored)]
    return Section("Steps to quality", most_telling(findings, MOST_FINDINGS), tables, charts, notes=notes)


def _lines(group: Group) -> dict[str, list[Configuration]]:
    """Put together configurations that differ in their steps only, from few to many, under a name."""
    found: dict[object, list[Configuration]] = {}
    for one in configurations(group):
        if one.cells[0].trains and _steps(one):
            found.setdefault(identity(one.cells[0].config, [STEPS]), []).append(one)
    lines = [sorted(line, key=_steps) for line in found.values() if len(line) > 1]
    names = ([_name(line, left_out) for line in lines] for left_out in (OF_OTHERS, ("trainer",)))
    return dict(zip(told_apart(*names), lines, strict=True))


def _name(line: Sequence[Configuration], left_out: Sequence[str]) -> str:
    base = base_of(line[0].cells[0])
    settings = {key: value for key, value in line[0].settings.items() if key.split(".")[0] not in left_out}
    first = base.words if base.kind != "pre-trained" else f"{base.name}, pre-trained"
    return ", ".join([first, *setting_words(settings)])


def _steps(one: Configuration) -> int:
    return int(one.cells[0].config.get("trainer", {}).get("max_steps") or 0)


def _points(line: Sequence[Configuration], measure: str) -> list[tuple[float, Interval]]:
    return [(0, line[0].interval(measure, "zero_shot")), *((_steps(one), one.interval(measure)) for one in line)]


def _most_changed(lines: Mapping[str, Sequence[Configuration]], measure: str) -> list[str]:
    """Choose as many lines as there are colours, by what their most steps change against none."""
    ends = [(line[0].values(measure, "zero_shot"), line[-1].values(measure)) for line in lines.values()]
    return strongest([*lines], [interval_of(last - first) for first, last in ends], SERIES)


def _table(group: Group, lines: Mapping[str, Sequence[Configuration]], number: int) -> Table:
    measure = group.measures[0]
    rows: list[Row] = [
        {"line": name, "steps": int(steps), "seeds": seeds, "best step": best, measure_words(measure): interval}
        for name, line in lines.items()
        for (steps, interval), (seeds, best) in zip(_points(line, measure), _scored(line), strict=True)
    ]
    known = any(row["best step"] for row in rows)
    shown = rows if known else [{key: value for key, value in row.items() if key != "best step"} for row in rows]
    note = "Best step: of each seed, the one that was best on validation; its weights were scored." if known else ""
    return Table(f"steps-{number}", f"{measure_words(measure)} by steps: {group.title}", shown, note)


def _scored(line: Sequence[Configuration]) -> list[tuple[int, str]]:
    """Give the seeds of each dot, and the step that was best on validation in each of them, where it was the one scored."""
    best = [[str(best_step(cell)) for cell in one.cells if best_step(cell) is not None] for one in line]
    return [(line[0].seeds, ""), *((one.seeds, ", ".join(steps)) for one, steps in zip(line, best, strict=True))]


def _finding(group: Group, name: str, line: Sequence[Configuration]) -> Finding | None:
    """Say what the last addition of steps bought, seed by seed; None where no seed has both numbers of steps."""
    measure = group.measures[0]
    fewer, more = line[-2], line[-1]
    gain = difference(more.cells, fewer.cells, "dense", measure)
    if gain is None:
        return None
    seeds = len(matched(more.cells, fewer.cells))
    head = f"{group.title}, {name}: from {_steps(fewer):,} to {_steps(more):,} steps"
    rest = f"{signed(gain)} {measure_words(measure)} ({basis(group, seeds)}{_left_out(fewer.seeds + more.seeds - 2 * seeds)})"
    return Finding(f"{head}, {rest}." if told(gain) else f"{head} no change can be told, {rest}.", strength(gain))


def _left_out(runs: int) -> str:
    return f"; {counted(runs, 'run')} whose seed has no match left out" if runs else ""
