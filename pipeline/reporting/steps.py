"""Steps to quality: what so many steps of fine-tuning buy, by base."""

from collections.abc import Sequence

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import base_of
from pipeline.reporting.cells import Cells, Group
from pipeline.reporting.charts import SERIES, curves
from pipeline.reporting.configurations import Configuration, configurations, setting_words
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.section import Chart, Row, Section, Table
from pipeline.reporting.settings import identity
from pipeline.reporting.words import basis, measure_words, signed, told

STEPS = "trainer.max_steps"
OF_OTHERS = ("trainer", "base", "backbone", "pretraining", "init")
"""Settings that a line's name says otherwise, or that lie along the line."""


def section(cells: Cells) -> Section | None:
    """Draw and tabulate measures against steps where runs differ in their steps."""
    tables, charts, findings = [], [], []
    for number, group in enumerate(cells.groups(), start=1):
        lines = _lines(group)
        if not lines:
            continue
        tables.append(_table(group, lines, number))
        drawn = {_name(line): _points(line, group.measures[0]) for line in lines[:SERIES]}
        title = f"{measure_words(group.measures[0])} against steps: {group.title}"
        note = f"The first {SERIES} of {len(lines)} lines." if len(lines) > SERIES else ""
        charts.append(Chart(title, curves(drawn, "steps of fine-tuning", measure_words(group.measures[0])), note))
        findings += [_finding(group, line) for line in lines[:SERIES]]
    if not tables:
        return None
    note = (
        "Each dot is a run of its own whose learning rate falls to 0 at its last step, not a moment of a longer one; 0 steps "
        "are the scores before training."
    )
    return Section("Steps to quality", findings, tables, charts, notes=[note])


def _lines(group: Group) -> list[list[Configuration]]:
    """Put together configurations that differ in their steps only, from few to many."""
    found: dict[object, list[Configuration]] = {}
    for one in configurations(group):
        if one.cells[0].trains and _steps(one):
            found.setdefault(identity(one.cells[0].config, [STEPS]), []).append(one)
    return [sorted(line, key=_steps) for line in found.values() if len(line) > 1]


def _steps(one: Configuration) -> int:
    return int(one.cells[0].config.get("trainer", {}).get("max_steps") or 0)


def _name(line: Sequence[Configuration]) -> str:
    base = base_of(line[0].cells[0])
    settings = {key: value for key, value in line[0].settings.items() if key.split(".")[0] not in OF_OTHERS}
    first = base.words if base.kind != "pre-trained" else f"{base.name}, pre-trained"
    return ", ".join([first, *setting_words(settings)])


def _points(line: Sequence[Configuration], measure: str) -> list[tuple[float, Interval]]:
    return [(0, line[0].interval(measure, "zero_shot")), *((_steps(one), one.interval(measure)) for one in line)]


def _table(group: Group, lines: Sequence[Sequence[Configuration]], number: int) -> Table:
    measure = group.measures[0]
    rows: list[Row] = [
        {"line": _name(line), "steps": int(steps), measure_words(measure): interval}
        for line in lines
        for steps, interval in _points(line, measure)
    ]
    return Table(f"steps-{number}", f"{measure_words(measure)} by steps: {group.title}", rows)


def _finding(group: Group, line: Sequence[Configuration]) -> str:
    """Say what the last addition of steps bought."""
    measure = group.measures[0]
    fewer, more = line[-2], line[-1]
    gain = interval_of(more.values(measure) - fewer.values(measure))
    head = f"{group.title}, {_name(line)}: from {_steps(fewer):,} to {_steps(more):,} steps"
    rest = f"{signed(gain)} {measure_words(measure)} ({basis(group, min(fewer.seeds, more.seeds))})"
    return f"{head}, {rest}." if told(gain) else f"{head} no change can be told, {rest}."
