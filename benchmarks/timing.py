"""Timing several ways to do one thing, turn by turn, so that a noisy machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table


def turn_by_turn(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time every way once per round, after one round that does not count.

    Returns:
        Seconds of every repeat, by way.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_rates(title: str, seconds: Mapping[str, list[float]], amount: float, unit: str, ours: str) -> None:
    """Print each way's median rate, its spread, and how many times faster ours is.

    Args:
        title: What was done.
        seconds: By way, the seconds of every repeat.
        amount: How much of `unit` one repeat does.
        unit: Such as `tokens`.
        ours: The way that the others are compared with.
    """
    table = Table(title=title, title_justify="left")
    for column in ("", f"{unit}/s, median", "slowest", "fastest", f"{ours} is faster by"):
        table.add_column(column)
    own = statistics.median(seconds[ours])
    for name, values in seconds.items():
        ratio = "" if name == ours else f"{statistics.median(values) / own:.2f}x"
        rates = [amount / value for value in (statistics.median(values), max(values), min(values))]
        table.add_row(name, *(f"{rate:,.0f}" if rate >= 100 else f"{rate:.2f}" for rate in rates), ratio)
    Console().print(table)
