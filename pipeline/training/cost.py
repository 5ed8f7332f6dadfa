"""What a run cost: time, texts encoded and looked up, steps; over all attempts that it took."""

import time
from pathlib import Path
from typing import Any

from pipeline.encoders.tally import Tally
from pipeline.errors import UserError
from pipeline.files import read_json, write_json

COST = "cost.json"
COUNTS = ("encoded_texts", "encoded_tokens", "looked_up_texts", "training_steps")
SECONDS_BETWEEN_NOTES = 2.0
"""What a killed attempt did is noted to this precision."""


class Cost:
    """Adds up the work of this attempt and of those before it, and notes it in the run folder as it goes.

    Args:
        folder: The run folder; what earlier attempts noted there counts.
        tally: Counts the texts of this attempt.
    """

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.path, self.tally, self.steps = folder / COST, tally, 0
        self.begun = self.noted = time.monotonic()
        self.before = _noted(self.path)
        self.noting = False

    def begin(self) -> None:
        """Note from now on; nothing is noted for a run that is finished, or by a process that only takes part."""
        self.noting = True
        self.tally.changed = self._note_now_and_then

    def step(self) -> None:
        """Count a training step."""
        self.steps += 1
        self._note_now_and_then()

    def figures(self) -> dict[str, float]:
        """Give seconds and counts of all attempts."""
        here = {name: getattr(self.tally, name) for name in COUNTS[:-1]} | {"training_steps": self.steps}
        seconds = round(self.before.get("seconds", 0.0) + time.monotonic() - self.begun, 3)
        return {"seconds": seconds, **{name: int(self.before.get(name, 0) + here[name]) for name in COUNTS}}

    def note(self) -> dict[str, float]:
        """Write the figures.

        Raises:
            UserError: When the disk is full.
        """
        self.noted = time.monotonic()
        figures = self.figures()
        write_json(self.path, figures)
        return figures

    def sentence(self) -> str:
        """Say what it cost so far."""
        figures = self.figures()
        return (
            f"It took {figures['seconds']:,.0f} s: {figures['encoded_texts']:,} texts encoded "
            f"({figures['encoded_tokens']:,} tokens), {figures['looked_up_texts']:,} looked up, "
            f"{figures['training_steps']:,} training steps."
        )

    def _note_now_and_then(self) -> None:
        if self.noting and time.monotonic() - self.noted > SECONDS_BETWEEN_NOTES:
            self.note()


def _noted(path: Path) -> dict[str, Any]:
    """Read what earlier attempts noted; a damaged note is no reason to stop."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}
