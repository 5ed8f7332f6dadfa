"""What happens between the steps of a training: its log, validation by retrieval, checkpoints, and when it stops."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch

from pipeline.errors import UserError
from pipeline.training.batches import ContrastiveBatch
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.collapse import COLLAPSED, collapse_sentence, fallen_towers, worst
from pipeline.training.module import ContrastiveModule
from pipeline.training.validation import Validation, best_row


@dataclass
class History:
    """The curves of a training so far; it lies in the checkpoint, so that a resumed training's curves are whole.

    Attributes:
        losses: One row for every few steps and checkpoint: `step`, `loss` (mean since the row before), `learning_rate`.
        validations: One row for every validation: `step` and its measures.
        stopped: Whether patience ran out.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False

    @property
    def trained(self) -> list[dict[str, float]]:
        """The validations after training steps."""
        return [row for row in self.validations if row["step"]]

    def best_step(self, monitor: str) -> int:
        """Give the step of the best validation after training steps, the earliest of equals; 0 before there is one.

        The untrained state is no candidate: where a figure gets worse before it gets better, it would be kept for good,
        and training that harms would show as no change.
        """
        return int(best_row(self.trained, monitor)["step"]) if self.trained else 0


@dataclass(frozen=True)
class Rhythm:
    """How often things happen, in steps, and when training stops early.

    Attributes:
        steps: Of the whole training.
        validate_every: Between validations; there is one before the first step and one after the last.
        checkpoint_every: Between checkpoints.
        monitor: The measure that picks the best weights.
        patience: Validations after training steps without a better one before stopping, 0 and 1 stop at the first; None:
            never.
        stop_on_collapse: Whether a collapse ends the training.
    """

    steps: int
    validate_every: int
    checkpoint_every: int
    monitor: str
    patience: int | None
    stop_on_collapse: bool

    def exhausted(self, history: History) -> bool:
        """Tell whether the last `patience` validations brought nothing better."""
        if self.patience is None:
            return False
        best = history.best_step(self.monitor)
        return sum(row["step"] > best for row in history.trained) >= max(1, self.patience)


class Course(pl.Callback):
    """Logs, validates, keeps checkpoints and stops.

    Args:
        rhythm: How often.
        history: The curves so far, empty or from a checkpoint.
        checkpoints: Where to keep them.
        validation: Measures a dual encoder on the validation split.
        after_step: Called after every step.
        say: Tells the user something that cannot wait.
        begins: Steps of a training before this one; loggers count on from there.
        start: The first validation of that training; None where there is none.
    """

    def __init__(
        self,
        rhythm: Rhythm,
        history: History,
        checkpoints: Checkpoints,
        validation: Validation,
        after_step: Callable[[], None],
        say: Callable[[str], None],
        begins: int,
        start: dict[str, float] | None,
    ) -> None:
        self.rhythm, self.history, self.checkpoints = rhythm, history, checkpoints
        self.validation, self.after_step, self.say, self.begins = validation, after_step, say, begins
        self.start = start
        self.recent: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Measure the untrained dual encoder, or bring the optimiser back to where it was."""
        assert isinstance(module, ContrastiveModule)
        if self.checkpoints.latest() is not None:
            self.checkpoints.load_optimiser(trainer.optimizers[0])
            self._log_again(trainer)
        else:
            self._validate(trainer, module, step=0)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, module: ContrastiveModule, outputs: Any, batch: ContrastiveBatch, batch_idx: int
    ) -> None:
        """Log the loss, validate and keep a checkpoint, each in its rhythm."""
        step, rhythm = batch.step + 1, self.rhythm
        last = step == rhythm.steps
        self.recent.append(outputs["loss"].detach())
        self.after_step()
        if step % rhythm.validate_every == 0 or last:
            self._validate(trainer, module, step)
        # A checkpoint ends a row, so that a resumed training's rows are those of an undisturbed one.
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step % every == 0 or step % rhythm.checkpoint_every == 0 or last or self.history.stopped:
            self._log_loss(trainer, module, step)
        if step % rhythm.checkpoint_every == 0 or last or self.history.stopped:
            self._checkpoint(trainer, module, step)
        trainer.should_stop = self.history.stopped

    def _log_again(self, trainer: pl.Trainer) -> None:
        """Give loggers what they were given before the interruption: a killed one may have kept nothing of it."""
        rows = [(row, "train") for row in self.history.losses] + [
            (row, "validation") for row in self.history.validations
        ]
        for row, prefix in sorted(rows, key=lambda each: each[0]["step"]):
            _log(trainer, row, prefix, self.begins)

    def _log_loss(self, trainer: pl.Trainer, module: ContrastiveModule, step: int) -> None:
        mean = trainer.strategy.reduce(torch.stack(self.recent).mean(), reduce_op="mean")
        self.recent = []
        row = {
            "step": step,
            "loss": float(mean),
            "below_chance": float(trainer.strategy.reduce(module.chance, reduce_op="mean")) - float(mean),
            "learning_rate": module.schedule.at(step - 1),
            "query_learning_rate": module.schedule.at(step - 1) * module.query_rate,
        }
        self.history.losses.append(row)
        _log(trainer, row, "train", self.begins)

    def _validate(self, trainer: pl.Trainer, module: ContrastiveModule, step: int) -> None:
        """Measure on rank 0 and tell the others, so that all of them stop at the same step."""
        row: dict[str, float] = {}
        if trainer.is_global_zero:
            measure = self.validation if step else self.validation.before_training
            row = {"step": step, **measure(module.dual_encoder)}
        row = trainer.strategy.broadcast(row)
        rows = self.history.validations
        rows.append(row)
        start = self.start or rows[0]
        level = worst(fallen_towers(row, start))
        if level and (len(rows) == 1 or level != worst(fallen_towers(rows[-2], start))):
            self.say(str(collapse_sentence(row, start)))
        collapsed = level == COLLAPSED and self.rhythm.stop_on_collapse and step > 0
        self.history.stopped = self.rhythm.exhausted(self.history) or collapsed
        _log(trainer, row, "validation", self.begins)
        if step and trainer.is_global_zero and self.history.best_step(self.rhythm.monitor) == step:
            self.checkpoints.write_best(module.dual_encoder)

    def _checkpoint(self, trainer: pl.Trainer, module: ContrastiveModule, step: int) -> None:
        if not all(bool(torch.isfinite(weight).all()) for weight in module.parameters()):
            raise UserError(
                f"A weight is no finite number after step {step}; the last good checkpoint is kept: "
                "lower the learning rate, in another folder."
            )
        if trainer.is_global_zero:
            self.checkpoints.write(step, module.dual_encoder, trainer.optimizers[0], {"history": vars(self.history)})
        trainer.strategy.barrier()


def _log(trainer: pl.Trainer, row: dict[str, float], prefix: str, begins: int) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(
            {f"{prefix}/{key}": value for key, value in row.items() if key != "step"}, step=begins + int(row["step"])
        )
