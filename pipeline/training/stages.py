"""Stages: what is trained, on which loss, until when."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader

from pipeline.checks import number, one_of, whole_number
from pipeline.data.dataset import Dataset, Split
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.errors import UserError
from pipeline.progress import progress
from pipeline.retrieval.bm25 import Bm25
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.checkpoint import Checkpoints, load_weights
from pipeline.training.course import Course, History, Rhythm
from pipeline.training.module import ContrastiveModule, set_dropout
from pipeline.training.negatives import Negatives
from pipeline.training.schedule import DECAYS, Schedule
from pipeline.training.validation import VALIDATION_MEASURES, narrowed


@dataclass(frozen=True)
class Workplace:
    """What a stage works with.

    Attributes:
        dataset: The texts to train and validate on.
        dual_encoder: What is trained, in place.
        negatives: Where hard negatives come from.
        lexical: The lexical retriever that mines them.
        trainer: Makes a Lightning trainer of its remaining arguments.
        max_steps: Steps of the whole training.
        measure: Measures a dual encoder's retrieval on a split.
        folder: The run folder.
        store: What runs share.
        seed: Fixes everything that is drawn.
        rank: This process's place among `ranks`.
        ranks: Processes that train together.
    """

    dataset: Dataset
    dual_encoder: DualEncoder
    negatives: Negatives
    lexical: Bm25
    trainer: Callable[..., pl.Trainer]
    max_steps: int
    measure: Callable[[DualEncoder, Split, list[str]], dict[str, float]]
    folder: Path
    store: Path
    seed: int
    rank: int
    ranks: int


Training = Callable[[Logger | None], dict[str, Any]]


class Stage(ABC):
    """One way to train a dual encoder, or not to.

    Attributes:
        name: What the stage is called in the run folder.
        trains: Whether the dual encoder differs afterwards.
        splits: The splits of the dataset that it reads.
    """

    name: str
    trains: bool = True
    splits: tuple[str, ...] = ("train", "validation")

    @abstractmethod
    def prepare(self, workplace: Workplace) -> Training:
        """Gather what the training needs, and refuse what cannot be meant, before anything else is computed.

        Returns:
            The training itself. Called with a logger, or None, it trains the workplace's dual encoder in place, resuming
            where an earlier run was stopped, and returns what the run folder says about it: steps, losses, validations.

        Raises:
            UserError: When the dataset lacks what the stage needs, or the settings do not go together.
        """


class ZeroShot(Stage):
    """No training.

    Args:
        name: What the stage is called in the run folder.
    """

    trains = False
    splits = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, workplace: Workplace) -> Training:
        """Leave the dual encoder as it is."""
        return lambda logger: {"stage": self.name, "steps": 0}


class ContrastiveFineTuning(Stage):
    """Fine-tuning with the contrastive loss (DPR, Karpukhin et al. 2020), symmetric or with two towers.

    Args:
        name: What the stage is called in the run folder.
        batch_size: Queries in a step, over all ranks.
        temperature: Divides the scores.
        learning_rate: After the warm-up.
        weight_decay: Of AdamW.
        warmup_steps: Steps until the learning rate is reached.
        decay: `linear`, `cosine` or `constant`.
        dropout: Of every dropout in the towers while they train; None: the checkpoint's own.
        validate_every: Steps between validations.
        validation_queries: Queries of the validation split that are used, at most.
        validation_documents: Documents beside those judged for them, at most.
        monitor: Measure that picks the best weights.
        patience: Validations without a better one before stopping; None: never.
        checkpoint_every: Steps between checkpoints.

    Raises:
        UserError: When a value cannot be meant.
    """

    def __init__(
        self,
        name: str,
        batch_size: int,
        temperature: float,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        decay: str,
        dropout: float | None,
        validate_every: int,
        validation_queries: int,
        validation_documents: int,
        monitor: str,
        patience: int | None,
        checkpoint_every: int,
    ) -> None:
        self.name = name
        self.batch_size = whole_number("stage.batch_size", batch_size)
        self.temperature = number("stage.temperature", temperature, above=True)
        self.learning_rate = number("stage.learning_rate", learning_rate, above=True)
        self.weight_decay = number("stage.weight_decay", weight_decay)
        self.warmup_steps = whole_number("stage.warmup_steps", warmup_steps, least=0)
        self.decay = one_of("stage.decay", decay, DECAYS)
        self.dropout = None if dropout is None else number("stage.dropout", dropout)
        if self.dropout is not None and self.dropout >= 1:
            raise UserError(f"stage.dropout={dropout} must be below 1.")
        self.validate_every = whole_number("stage.validate_every", validate_every)
        self.validation_queries = whole_number("stage.validation_queries", validation_queries)
        self.validation_documents = whole_number("stage.validation_documents", validation_documents, least=0)
        self.monitor = one_of("stage.monitor", monitor, VALIDATION_MEASURES)
        self.patience = None if patience is None else whole_number("stage.patience", patience)
        self.checkpoint_every = whole_number("stage.checkpoint_every", checkpoint_every)

    def prepare(self, workplace: Workplace) -> Training:
        """Find the training queries and their negatives."""
        if not any(weight.requires_grad for weight in workplace.dual_encoder.parameters()):
            raise UserError("Nothing is left to train; take something out of backbone.freeze.")
        return partial(self._train, workplace, self._batches(workplace))

    def _train(self, workplace: Workplace, batches: ContrastiveBatches, logger: Logger | None) -> dict[str, Any]:
        """Train from the latest checkpoint, or from the start; leave the best weights in the dual encoder."""
        checkpoints = Checkpoints(workplace.folder / "checkpoint")
        state = checkpoints.state()
        history = History(**state["history"]) if state else History()
        first_step = state["step"] if state else 0
        if state:
            checkpoints.load_weights(workplace.dual_encoder)
        if first_step < workplace.max_steps and not history.stopped:
            batches.between(first_step, workplace.max_steps, workplace.rank, workplace.ranks)
            self._fit(workplace, batches, checkpoints, history, first_step, logger)
        load_weights(workplace.dual_encoder, checkpoints.best)
        return self._summary(batches, history)

    def _batches(self, workplace: Workplace) -> ContrastiveBatches:
        split = workplace.dataset.split("train")
        negatives = workplace.negatives
        candidates = negatives.candidates(workplace.dataset, split, workplace.lexical, workplace.store)
        return ContrastiveBatches(
            workplace.dataset, split, candidates, negatives.count, self.batch_size, workplace.seed
        ).between(0, workplace.max_steps, workplace.rank, workplace.ranks)

    def _fit(
        self,
        workplace: Workplace,
        batches: ContrastiveBatches,
        checkpoints: Checkpoints,
        history: History,
        first_step: int,
        logger: Logger | None,
    ) -> None:
        steps = workplace.max_steps
        schedule = Schedule(self.learning_rate, self.warmup_steps, self.decay, steps)
        if self.dropout is not None:
            set_dropout(workplace.dual_encoder, self.dropout)
        module = ContrastiveModule(
            workplace.dual_encoder,
            batches.split.documents,
            self.temperature,
            schedule,
            self.weight_decay,
            workplace.seed,
        )
        validation = narrowed(
            workplace.dataset.split("validation"), self.validation_queries, self.validation_documents, workplace.seed
        )
        rhythm = Rhythm(steps, self.validate_every, self.checkpoint_every, self.monitor, self.patience)
        with progress("Training", steps - first_step, "steps") as advance:
            course = Course(
                rhythm,
                history,
                checkpoints,
                lambda dual_encoder: workplace.measure(dual_encoder, validation, list(VALIDATION_MEASURES)),
                advance,
            )
            trainer = workplace.trainer(
                max_steps=steps - first_step,
                max_epochs=1,
                callbacks=[course],
                logger=logger or False,
                default_root_dir=workplace.folder,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            trainer.fit(module, DataLoader(batches, batch_size=None))

    def _summary(self, batches: ContrastiveBatches, history: History) -> dict[str, Any]:
        last_loss = history.losses[-1]
        best = history.best_step(self.monitor)
        return {
            "stage": self.name,
            "steps": int(last_loss["step"]),
            "best_step": best,
            "monitor": self.monitor,
            "stopped_early": history.stopped,
            "queries": len(batches.trainable),
            "loss": last_loss["loss"],
            "validation": next(row for row in history.validations if row["step"] == best),
            "curves": {"loss": history.losses, "validation": history.validations},
        }
