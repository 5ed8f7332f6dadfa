"""The LightningModule of masked language modelling."""

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from pipeline.errors import UserError
from pipeline.training.module import TOKENS_IN_A_PASS, derived_seed
from pipeline.training.pretraining.batches import DROPOUT, MaskedBatch
from pipeline.training.pretraining.held_out import logits_of
from pipeline.training.schedule import Schedule


class MaskedLanguageModule(pl.LightningModule):
    """Trains a masked language model on masked batches.

    Args:
        model: What is trained.
        schedule: The learning rate by step.
        weight_decay: Of AdamW; biases and normalisation weights are not decayed.
        seed: Dropout is a function of it and the step.
    """

    def __init__(self, model: PreTrainedModel, schedule: Schedule, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model.train()
        self.schedule, self.weight_decay, self.seed = schedule, weight_decay, seed
        self.attention_before: str | None = None

    def on_fit_start(self) -> None:
        """On a CPU, compute attention plainly: for rows of a few hundred tokens the fused kernel's gradient is slower."""
        if self.device.type == "cpu":
            self.attention_before = self.model.config._attn_implementation
            self.model.set_attn_implementation("eager")

    def on_fit_end(self) -> None:
        """Leave the model as it came."""
        if self.attention_before is not None:
            self.model.set_attn_implementation(self.attention_before)

    def on_train_batch_start(self, batch: MaskedBatch, batch_idx: int) -> None:
        """Set what a step's arithmetic depends on: its learning rate and its dropout."""
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.schedule.at(batch.step)
        torch.manual_seed(derived_seed(self.seed, DROPOUT, batch.step, self.global_rank))

    def training_step(self, batch: MaskedBatch, batch_idx: int) -> Tensor:
        """Compute the mean cross-entropy of the hidden tokens; ranks with fewer of them count less.

        Raises:
            UserError: When the loss is not a finite number.
        """
        budget = TOKENS_IN_A_PASS.get(self.device.type, TOKENS_IN_A_PASS["cuda"])
        rows, longest = batch.shown.shape
        at_once = max(1, budget // longest)
        loss = torch.zeros((), device=self.device)
        for start in range(0, rows, at_once):
            logits, targets = logits_of(self.model, batch.part(slice(start, start + at_once)), self.device)
            loss = loss + functional.cross_entropy(logits, targets, reduction="sum")
        # Lightning averages the gradients of ranks.
        loss = loss * (self.trainer.world_size / batch.masked)
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss became {loss.item()} at step {batch.step}; the last good checkpoint is kept: "
                "lower the learning rate, in another folder."
            )
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make AdamW over the weights that are not frozen."""
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=self.schedule.peak)

    def transfer_batch_to_device(self, batch: MaskedBatch, device: torch.device, dataloader_idx: int) -> MaskedBatch:
        """Leave the batch as it is; its parts are moved as they are needed."""
        return batch
