"""Progress of anything that takes more than a few seconds, with the time that is left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0
"""Where there is no terminal, a log gets one line in this many seconds instead of a moving bar."""


def duration(seconds: float) -> str:
    """Say a duration in the units that people use: `45 s`, `12 min`, `3 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how far a piece of work is, on standard error.

    Args:
        label: What is being done, such as `Encoding documents`.
        total: How many units the whole work has.
        unit: What is counted: `tokens`, `documents`, `steps`. Count what costs time, so that the estimate is honest.

    Yields:
        A function to call with the number of units just finished.
    """
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _lines(label, total, unit)


def _lines(label: str, total: int, unit: str) -> Callable[[int], None]:
    """Make a counter that prints a line now and then, for logs and batch jobs."""
    start = said = time.monotonic()
    done = untimed = 0

    def advance(count: int) -> None:
        nonlocal start, said, done, untimed
        now = time.monotonic()
        done += count
        if not untimed:
            # What came before the first units were done, such as loading, happens once and says nothing of the rest.
            start, untimed = now, done
        elif now - said >= SECONDS_BETWEEN_LINES and done > untimed:
            said = now
            left = (now - start) * (total - done) / (done - untimed)
            print(f"{label}: {done:,} of {total:,} {unit}, about {left:,.0f} s left", file=sys.stderr, flush=True)

    return advance
