"""How far a sweep is, said on the terminal while its cells run wherever they run."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from pipeline.progress import duration
from pipeline.sweeping.outcome import CellOutcome

SECONDS_BETWEEN_LOOKS = 1.0


@contextmanager
def watched(look: Callable[[], Sequence[CellOutcome]]) -> Iterator[None]:
    """Say it whenever a cell ends: how many are done, running and failed, and when the rest will be.

    Run folders are the truth, so the cells may be in this process, in others or on other machines.

    Args:
        look: Gives the cells that are to be run, as they are now.
    """
    stop = Event()
    watcher = Watcher(look)

    def watch() -> None:
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            watcher.say_what_is_new()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        watcher.say_what_is_new()


class Watcher:
    """Compares the cells with how they were at the last look.

    Args:
        look: Gives the cells that are to be run, as they are now.
    """

    def __init__(self, look: Callable[[], Sequence[CellOutcome]]) -> None:
        self.look, self.began = look, time.monotonic()
        self.ended: set[str] = set()

    def say_what_is_new(self) -> None:
        """Name the cells that failed since the last look, and say how far the sweep is if any has ended."""
        cells = self.look()
        ended = {cell.folder: cell for cell in cells if cell.state in ("done", "failed")}
        new = ended.keys() - self.ended
        for folder in sorted(new):
            if ended[folder].state == "failed":
                _say(f"Failed: {folder}: {ended[folder].sentence}")
        self.ended = {*ended}  # a cell whose process died may have been begun again
        if new:
            _say(self._progress(Counter(cell.state for cell in cells)))

    def _progress(self, states: Counter[str]) -> str:
        total, ended = states.total(), states["done"] + states["failed"]
        left = (time.monotonic() - self.began) * (total - ended) / ended if ended else 0.0
        ending = (
            f"about {duration(left)} left" if ended < total else f"{duration(time.monotonic() - self.began)} in all"
        )
        return f"Sweep: {states['done']} of {total} cells done, {states['running']} running, {states['failed']} failed, {ending}."


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
