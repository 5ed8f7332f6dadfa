"""Drawings as SVG whose colours are the page's: classes `s0` to `s5` for series, `axis`, `grid` and `bar` for the rest."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from pipeline.evaluation.statistics import Interval

WIDTH = 760
SERIES = 6
"""Colours that can still be told apart."""
LETTER = 6.9
"""Width of a letter at 12 pixels, about."""
Scale = Callable[[float], float]


def forest(rows: Sequence[tuple[str, Sequence[Interval | None]]], series: Sequence[str], axis: str) -> str:
    """Draw one line a row, with a dot and its interval for each series.

    Args:
        rows: A label, and one interval for each series; None where there is none.
        series: What the series are called.
        axis: What the figures are.
    """
    ends = [end for _, found in rows for one in found if one for end in (one.mean, one.low, one.high) if end == end]
    marks = _ticks(min(ends), max(ends))
    step = 17 * len(series) + 13
    top, bottom = 34, 34 + step * len(rows)
    left = 22 + LETTER * max(len(_short(label)) for label, _ in rows)
    x = _linear(marks[0], marks[-1], left, WIDTH - 24)
    parts = [_legend(series, left, 14), *_vertical_grid(marks, x, top, bottom, axis)]
    for number, (label, found) in enumerate(rows):
        middle = top + step * (number + 0.5)
        parts.append(_text(left - 14, middle + 4, _short(label), "end"))
        for place, interval in enumerate(found):
            if interval:
                parts.append(_dot_with_interval(interval, x, middle + 17 * (place - (len(series) - 1) / 2), place))
    return _svg(bottom + 44, parts, f"{axis}: {', '.join(label for label, _ in rows)}")


def curves(lines: Mapping[str, Sequence[tuple[float, Interval]]], across: str, up: str) -> str:
    """Draw lines through dots with intervals; the horizontal axis is logarithmic, and has room for 0.

    Args:
        lines: By name, (x, interval), in the order of x.
        across: What x is.
        up: What the intervals are of.
    """
    xs = sorted({x for line in lines.values() for x, _ in line})
    ends = [end for line in lines.values() for _, one in line for end in (one.mean, one.low, one.high) if end == end]
    marks = _ticks(min(ends), max(ends))
    top = 22 + 18 * len(lines)
    bottom = top + 300
    x = _logarithmic(xs[0], xs[-1], 70, WIDTH - 40)
    y = _linear(marks[0], marks[-1], bottom, top)
    parts = [_legend(list(lines), 12, 14, stacked=True), *_horizontal_grid(marks, y, up, top)]
    parts += [_text(x(value), bottom + 20, f"{value:g}", "middle") for value in _apart(xs, x)]
    parts.append(_text((70 + WIDTH - 40) / 2, bottom + 40, across, "middle"))
    for place, line in enumerate(lines.values(), start=1):
        points = " ".join(f"{x(value):.1f},{y(one.mean):.1f}" for value, one in line)
        parts.append(f'<polyline class="s{place % SERIES}" points="{points}"/>')
        parts += [_upright(x(value), one, y, place) for value, one in line]
    return _svg(bottom + 50, parts, f"{up} against {across}: {', '.join(lines)}")


def scatter(dots: Sequence[tuple[str, float, float]], across: str, up: str) -> str:
    """Draw named dots over a logarithmic horizontal axis; dots are numbered where their names stand below.

    Args:
        dots: Name, x above 0, and y.
        across: What x is.
        up: What y is.
    """
    marks = _ticks(min(dot[2] for dot in dots), max(dot[2] for dot in dots))
    xs = [dot[1] for dot in dots]
    bottom = 320
    x, y = _decades(min(xs) / 1.5, max(xs) * 1.5, 70, WIDTH - 40), _linear(marks[0], marks[-1], bottom, 24)
    parts = _horizontal_grid(marks, y, up, 24)
    for value in _apart(_round_marks(min(xs) / 1.5, max(xs) * 1.5), x):
        parts.append(_text(x(value), bottom + 20, f"{value:g}", "middle"))
    parts.append(_text((70 + WIDTH - 40) / 2, bottom + 40, across, "middle"))
    for number, (name, at, value) in enumerate(sorted(dots, key=lambda dot: dot[1]), start=1):
        parts.append(f'<circle class="s1" cx="{x(at):.1f}" cy="{y(value):.1f}" r="5"/>')
        parts.append(_text(x(at), y(value) - 10, str(number), "middle"))
        parts.append(_text(70, bottom + 48 + 18 * number, f"{number}  {_short(name, 80)}: {at:.3g}, {value:.3f}"))
    return _svg(bottom + 60 + 18 * len(dots), parts, f"{up} against {across}")


def _ticks(low: float, high: float) -> list[float]:
    """Choose four to eight round numbers that hold a range."""
    room = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(room / 4))
    step *= next(times for times in (1, 2, 5, 10) if room / (step * times) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Lay out counts from 0 on: by log(1 + x)."""
    straight = _linear(math.log1p(low), math.log1p(high) if high > low else math.log1p(low) + 1, start, end)
    return lambda value: straight(math.log1p(value))


def _decades(low: float, high: float, start: float, end: float) -> Scale:
    straight = _linear(math.log10(low), math.log10(high), start, end)
    return lambda value: straight(math.log10(value))


def _round_marks(low: float, high: float) -> list[float]:
    """Choose marks of a logarithmic axis: 1, 2 and 5 times powers of ten, or any round numbers where it is short."""
    if high / low < 10:
        return [mark for mark in _ticks(low, high) if low <= mark <= high]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [times * 10.0**power for power in powers for times in (1, 2, 5)]
    return [value for value in every if low <= value <= high]


def _apart(values: Sequence[float], scale: Scale) -> list[float]:
    """Leave out marks whose words would touch the one before."""
    kept: list[float] = []
    for value in values:
        if not kept or scale(value) - scale(kept[-1]) > 36:
            kept.append(value)
    return kept


def _vertical_grid(marks: Sequence[float], x: Scale, top: float, bottom: float, axis: str) -> list[str]:
    lines = [f'<path class="grid" d="M{x(mark):.1f} {top}V{bottom}"/>' for mark in marks]
    words = [_text(x(mark), bottom + 18, f"{mark:g}", "middle") for mark in marks]
    return [*lines, *words, _text((x(marks[0]) + x(marks[-1])) / 2, bottom + 38, axis, "middle")]


def _horizontal_grid(marks: Sequence[float], y: Scale, up: str, top: float) -> list[str]:
    lines = [f'<path class="grid" d="M62 {y(mark):.1f}H{WIDTH - 24}"/>' for mark in marks]
    words = [_text(54, y(mark) + 4, f"{mark:g}", "end") for mark in marks]
    return [*lines, *words, _text(8, top - 10, up)]


def _dot_with_interval(interval: Interval, x: Scale, y: float, place: int) -> str:
    line = ""
    if interval.low == interval.low:
        line = f'<path class="bar s{place % SERIES}" d="M{x(interval.low):.1f} {y:.1f}H{x(interval.high):.1f}"/>'
    return f'{line}<circle class="s{place % SERIES}" cx="{x(interval.mean):.1f}" cy="{y:.1f}" r="4.5"/>'


def _upright(x: float, interval: Interval, y: Scale, place: int) -> str:
    line = ""
    if interval.low == interval.low:
        line = f'<path class="bar s{place % SERIES}" d="M{x:.1f} {y(interval.low):.1f}V{y(interval.high):.1f}"/>'
    return f'{line}<circle class="s{place % SERIES}" cx="{x:.1f}" cy="{y(interval.mean):.1f}" r="4"/>'


def _legend(names: Sequence[str], x: float, y: float, *, stacked: bool = False) -> str:
    if len(names) < 2:
        return ""
    parts = []
    for place, name in enumerate(names, start=int(stacked)):
        parts.append(f'<circle class="s{place % SERIES}" cx="{x:.1f}" cy="{y - 4:.1f}" r="4.5"/>')
        parts.append(_text(x + 10, y, _short(name, 90 if stacked else 34)))
        x, y = (x, y + 18) if stacked else (x + 34 + LETTER * len(name), y)
    return "".join(parts)


def _short(words: str, most: int = 42) -> str:
    """Leave out the middle of what would run out of its place."""
    return words if len(words) <= most else f"{words[: most // 2 - 1]}…{words[-(most // 2) :]}"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
