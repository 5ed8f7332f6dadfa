"""What happens between the steps of a pre-training: its log, the held-out loss, checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from pipeline.errors import UserError
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.course import History
from pipeline.training.pretraining.batches import MaskedBatch
from pipeline.training.pretraining.held_out import HeldOut
from pipeline.training.pretraining.module import MaskedLanguageModule


@dataclass(frozen=True)
class Pace:
    """How often things happen, in steps.

    Attributes:
        steps: Of the whole training.
        validate_every: Between measurements on held-out texts; there is one before the first step and one after the last.
        checkpoint_every: Between checkpoints.
    """

    steps: int
    validate_every: int
    checkpoint_every: int


class PretrainingCourse(pl.Callback):
    """Logs, measures and keeps checkpoints.

    Args:
        pace: How often.
        history: The curves so far, empty or from a checkpoint.
        checkpoints: Where to keep them.
        held_out: Measures the model.
        advance: Called with the tokens of every step.
    """

    def __init__(
        self,
        pace: Pace,
        history: History,
        checkpoints: Checkpoints,
        held_out: HeldOut,
        advance: Callable[[int], None],
    ) -> None:
        self.pace, self.history, self.checkpoints = pace, history, checkpoints
        self.held_out, self.advance = held_out, advance
        self.recent: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Measure the model before the first step, or bring the optimiser back to where it was."""
        assert isinstance(module, MaskedLanguageModule)
        if self.checkpoints.latest() is not None:
            self.checkpoints.load_optimiser(trainer.optimizers[0])
        else:
            self._validate(trainer, module, step=0)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, module: MaskedLanguageModule, outputs: Any, batch: MaskedBatch, batch_idx: int
    ) -> None:
        """Log the loss, measure and keep a checkpoint, each in its rhythm."""
        step, pace = batch.step + 1, self.pace
        last = step == pace.steps
        self.recent.append(outputs["loss"].detach())
        self.advance(batch.tokens * trainer.world_size)
        if step % pace.validate_every == 0 or last:
            self._validate(trainer, module, step)
        # A checkpoint ends a row, so that a resumed training's rows are those of an undisturbed one.
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step % every == 0 or step % pace.checkpoint_every == 0 or last:
            self._log_loss(trainer, module, step)
        if step % pace.checkpoint_every == 0 or last:
            self._checkpoint(trainer, module, step)

    def _log_loss(self, trainer: pl.Trainer, module: MaskedLanguageModule, step: int) -> None:
        mean = trainer.strategy.reduce(torch.stack(self.recent).mean(), reduce_op="mean")
        self.recent = []
        row = {"step": step, "loss": float(mean), "learning_rate": module.schedule.at(step - 1)}
        self.history.losses.append(row)
        _log(trainer, row, "train")

    def _validate(self, trainer: pl.Trainer, module: MaskedLanguageModule, step: int) -> None:
        row: dict[str, float] = {}
        if trainer.is_global_zero:
            row = {"step": step, **self.held_out.measure(module.model, module.device).row()}
        row = trainer.strategy.broadcast(row)
        self.history.validations.append(row)
        _log(trainer, row, "validation")

    def _checkpoint(self, trainer: pl.Trainer, module: MaskedLanguageModule, step: int) -> None:
        if not all(bool(torch.isfinite(weight).all()) for weight in module.parameters()):
            raise UserError(
                f"A weight is no finite number after step {step}; the last good checkpoint is kept: "
                "lower the learning rate, in another folder."
            )
        if trainer.is_global_zero:
            state = {"history": vars(self.history)}
            self.checkpoints.write(step, module.model, trainer.optimizers[0], state)
        trainer.strategy.barrier()


def _log(trainer: pl.Trainer, row: dict[str, float], prefix: str) -> None:
    for logger in trainer.loggers:
        figures = {f"{prefix}/{key}": value for key, value in row.items() if key != "step"}
        logger.log_metrics(figures, step=int(row["step"]))
