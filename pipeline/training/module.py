"""The LightningModule of contrastive fine-tuning, symmetric or with two towers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.data.joined import JoinedVectors
from pipeline.encoders.backbones import Kind
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tower import Tower
from pipeline.errors import UserError
from pipeline.training.batches import DROPOUT, ContrastiveBatch
from pipeline.training.examples import Examples
from pipeline.training.losses import gather_with_gradient
from pipeline.training.objectives import Objective
from pipeline.training.schedule import Schedule

TOKENS_IN_A_PASS = {"cpu": 2048, "cuda": 65_536}
"""A step's texts go through a tower in passes of about this many tokens, short ones together: less padding, and on a CPU
states that stay in its cache."""


class ContrastiveModule(pl.LightningModule):
    """Trains a dual encoder on contrastive batches.

    Args:
        dual_encoder: What is trained.
        examples: What the batches' positions point into.
        objective: The loss.
        schedule: The learning rate by step.
        weight_decay: Of AdamW; biases and normalisation weights are not decayed.
        seed: Dropout is a function of it and the step.
        query_learning_rate: Of a query tower of its own; None: what suits its kind.
        table: The vectors of all documents where the document tower is frozen, [documents, dimension]; that tower never
            runs then. None: documents are encoded.
    """

    def __init__(
        self,
        dual_encoder: DualEncoder,
        examples: Examples,
        objective: Objective,
        schedule: Schedule,
        weight_decay: float,
        seed: int,
        query_learning_rate: float | None = None,
        table: JoinedVectors | None = None,
    ) -> None:
        super().__init__()
        # Encoders come from their folders in evaluation mode; encoding works on copies, so this holds to the last step.
        self.dual_encoder, self.examples, self.objective = dual_encoder.train(), examples, objective
        self.schedule, self.weight_decay, self.seed, self.table = schedule, weight_decay, seed, table
        own = query_learning_rate or dual_encoder.query.learning_rate or schedule.peak
        self.query_rate = own / schedule.peak
        """How many times the schedule's learning rate a query tower of its own has."""
        self.chance = torch.zeros(())
        """The loss of a collapsed query tower at the last step, of this rank's share of the batch."""
        if table is not None:
            dual_encoder.document.eval()
        self.attention_before: dict[PreTrainedModel, str] = {}

    def on_fit_start(self) -> None:
        """On a CPU, compute attention plainly: for texts of a few hundred tokens the fused kernel's gradient is slower."""
        if self.device.type == "cpu":
            towers = (self.dual_encoder.query, self.dual_encoder.document)
            for transformer in {tower.transformer for tower in towers if tower.transformer is not None}:
                self.attention_before[transformer] = transformer.config._attn_implementation
                transformer.set_attn_implementation("eager")

    def on_fit_end(self) -> None:
        """Leave the towers as they came."""
        for backbone, implementation in self.attention_before.items():
            backbone.set_attn_implementation(implementation)

    def on_train_batch_start(self, batch: ContrastiveBatch, batch_idx: int) -> None:
        """Set what a step's arithmetic depends on: its learning rate and its dropout."""
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.schedule.at(batch.step) * group["rate"]
        torch.manual_seed(derived_seed(self.seed, DROPOUT, batch.step, self.global_rank))

    def training_step(self, batch: ContrastiveBatch, batch_idx: int) -> Tensor:
        """Compute the loss of this rank's queries over the documents of all ranks.

        Raises:
            UserError: When the loss is not a finite number.
        """
        queries = self._encode("query", batch.queries)
        documents = gather_with_gradient(self._documents(batch.documents))
        targets, masked = (torch.as_tensor(part, device=self.device) for part in (batch.targets, batch.masked))
        with torch.autocast(self.device.type, enabled=False):
            # Autocast would round the scores to bfloat16, and the temperature makes their last digits count.
            loss = self.objective.loss(queries.float(), documents.float(), targets, masked)
            self.chance = self.objective.chance(documents.detach().float(), targets, masked)
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss became {loss.item()} at step {batch.step}; checkpoints from before are kept: "
                "lower the learning rate or raise stage.temperature, in another folder."
            )
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make AdamW over the weights that are not frozen; for sparse gradients its lazy kin without weight decay."""
        query = self.dual_encoder.query
        if isinstance(query, StaticTower) and query.sparse:
            groups: list[dict[str, Any]] = [{"params": list(query.parameters()), "rate": self.query_rate}]
            return torch.optim.SparseAdam(groups, lr=self.schedule.peak)
        own = (
            set()
            if self.dual_encoder.symmetric
            else set(query.parameters()) - set(self.dual_encoder.document.parameters())
        )
        groups = []
        for rate, tower in ((1.0, False), (self.query_rate, True)):
            trained = [w for w in self.parameters() if w.requires_grad and (w in own) == tower]
            # Token vectors that are in no text of a step would shrink all the same.
            decay = 0.0 if tower and isinstance(query, StaticTower) else self.weight_decay
            groups += [
                {"params": [w for w in trained if w.ndim > 1], "weight_decay": decay, "rate": rate},
                {"params": [w for w in trained if w.ndim <= 1], "weight_decay": 0.0, "rate": rate},
            ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=self.schedule.peak)

    def transfer_batch_to_device(
        self, batch: ContrastiveBatch, device: torch.device, dataloader_idx: int
    ) -> ContrastiveBatch:
        """Leave the batch as it is: it holds texts, which become tensors where they are encoded."""
        return batch

    def _documents(self, positions: np.ndarray) -> Tensor:
        """Look vectors up where the document tower is frozen, or encode the texts."""
        if self.table is not None:
            return torch.from_numpy(self.table[positions]).to(self.device)
        separator = self.dual_encoder.document.title_separator
        return self._encode("document", self.examples.documents.take(positions, separator))

    def _encode(self, kind: Kind, texts: list[str]) -> Tensor:
        return encode_with_gradient(self.dual_encoder.tower(kind), texts, kind, self.device)


def encode_with_gradient(tower: Tower, texts: list[str], kind: Kind, device: torch.device) -> Tensor:
    """Encode the texts of a step, in passes over texts of like length.

    Args:
        tower: The encoder.
        texts: N texts.
        kind: Which side they are on.
        device: Where the tower is.

    Returns:
        Vectors in the order of the texts, [N, dimension].
    """
    token_ids = tower.token_ids(texts, kind)
    if not tower.padded:
        return tower({name: tensor.to(device) for name, tensor in tower.pad(token_ids).items()})
    lengths = np.array([len(ids) for ids in token_ids])
    order = np.argsort(-lengths, kind="stable")
    budget = TOKENS_IN_A_PASS.get(device.type, TOKENS_IN_A_PASS["cuda"])
    vectors, start = [], 0
    while start < len(order):
        stop = start + max(1, budget // int(lengths[order[start]]))
        inputs = tower.pad([token_ids[place] for place in order[start:stop]])
        vectors.append(tower({name: tensor.to(device) for name, tensor in inputs.items()}))
        start = stop
    return torch.cat(vectors)[torch.as_tensor(np.argsort(order), device=device)]


@contextmanager
def dropout(module: nn.Module, probability: float | None) -> Iterator[None]:
    """Give every dropout below a module one probability for a while; its configuration, and so a saved model's, stays.

    Without dropout, attention needs no matrix of tokens by tokens: on a CPU a step takes a third of the time.

    Args:
        module: Changed in place, and given back as it was.
        probability: From 0 to below 1; None leaves everything as it is.
    """
    # Decoders keep the probability of attention's dropout as a number.
    places: list[tuple[Any, str]] = [(part, "p") for part in module.modules() if isinstance(part, nn.Dropout)]
    numbers = (part for part in module.modules() if isinstance(getattr(part, "attention_dropout", None), float))
    places += [(part, "attention_dropout") for part in numbers]
    before = [getattr(part, name) for part, name in places]
    try:
        for part, name in places if probability is not None else []:
            setattr(part, name, probability)
        yield
    finally:
        for (part, name), value in zip(places, before, strict=True):
            setattr(part, name, value)


def derived_seed(*parts: int) -> int:
    """Mix whole numbers into one seed of 63 bits."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
