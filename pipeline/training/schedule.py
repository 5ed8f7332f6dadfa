"""The learning rate as a pure function of the step."""

import math

from pipeline.checks import number, one_of, whole_number

DECAYS = ("linear", "cosine", "constant")


class Schedule:
    """Linear warm-up, then decay to zero at the last step.

    Args:
        peak: The learning rate after the warm-up.
        warmup_steps: Steps until the peak is reached.
        decay: `linear`, `cosine` or `constant`.
        steps: Steps of the whole training.
    """

    def __init__(self, peak: float, warmup_steps: int, decay: str, steps: int) -> None:
        self.peak = number("stage.learning_rate", peak, above=True)
        self.warmup_steps = whole_number("stage.warmup_steps", warmup_steps, least=0)
        self.decay = one_of("stage.decay", decay, DECAYS)
        self.steps = steps

    def at(self, step: int) -> float:
        """Give the learning rate of a step, from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return self.peak
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.peak * (1 - done if self.decay == "linear" else (1 + math.cos(math.pi * done)) / 2)
