"""Contrastive fine-tuning of a dual encoder, symmetric or with two towers."""

from functools import partial
from typing import Any

from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader

from pipeline.checks import number, one_of, whole_number
from pipeline.data.joined import JoinedVectors
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import QueryTower, Shared
from pipeline.errors import UserError
from pipeline.evaluation.geometry import LEAST_SAMPLE
from pipeline.progress import progress
from pipeline.retrieval.negatives import Negatives
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.checkpoint import Checkpoints, load_weights
from pipeline.training.collapse import collapse_summary
from pipeline.training.course import Course, History, Rhythm
from pipeline.training.examples import Examples, labelled
from pipeline.training.module import ContrastiveModule, dropout
from pipeline.training.objectives import Contrastive, Objective
from pipeline.training.schedule import DECAYS, Schedule
from pipeline.training.stages import Stage, Training, Workplace
from pipeline.training.validation import (
    KL,
    VALIDATION_MEASURES,
    Validation,
    below_start,
    narrowed,
    sample_of,
)

COPIES = (
    "the query tower begins as a copy of the document tower, and nothing is closer to a tower than its copy, so every step "
    "would count as worse; choose another measure (stage.monitor=ndcg@10, in daft stage.align.monitor=ndcg@10) or query tower."
)


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
        weights: Which come out: the `best` by validation after training steps, or the `last`, where every recipe shall
            take all its steps whatever they do.
        checkpoint_every: Steps between checkpoints.
        normalisation: Of the loss: `row` or `global`.
        query_learning_rate: Of a query tower of its own; None: what suits its kind.
        on_collapse: `report` a tower that has collapsed and go on, or `stop`.

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
        weights: str,
        checkpoint_every: int,
        normalisation: str,
        query_learning_rate: float | None,
        on_collapse: str,
    ) -> None:
        self.name = name
        self.batch_size = whole_number("stage.batch_size", batch_size)
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
        self.monitor = one_of("stage.monitor", monitor, (*VALIDATION_MEASURES, KL))
        self.patience = None if patience is None else whole_number("stage.patience", patience, least=0)
        self.weights = one_of("stage.weights", weights, ("best", "last"))
        self.objective: Objective = Contrastive(temperature, normalisation)
        self.query_learning_rate = query_learning_rate
        if query_learning_rate is not None:
            number("stage.query_learning_rate", query_learning_rate, above=True)
        self.on_collapse = one_of("stage.on_collapse", on_collapse, ("report", "stop"))
        self.begins = 0
        """Steps of a training before this one, as loggers count them."""
        self.start: dict[str, float] | None = None
        """The first validation of that training, which this one's are judged by; None: its own."""
        self.checkpoint_every = whole_number("stage.checkpoint_every", checkpoint_every)

    def require(self, query: QueryTower, negatives: Negatives, backbone: Backbone) -> None:
        """Refuse to compare one tower with itself or a copy, and a learning rate of weights that are not there."""
        super().require(query, negatives, backbone)
        if self.query_learning_rate is not None and not query.own_weights:
            raise UserError(
                f"stage.query_learning_rate={self.query_learning_rate} is of a query tower with weights of its own, and this "
                "one's are the document tower's; give stage.learning_rate alone."
            )
        self.require_divergence(query, backbone)

    def require_divergence(self, query: QueryTower, backbone: Backbone) -> None:
        """Refuse a divergence as the monitor where it can only grow.

        Raises:
            UserError: For one tower, and for a tower beside its copy.
        """
        if self.monitor == KL and isinstance(query, Shared):
            raise UserError("stage.monitor=kl compares two towers, and query=shared is one; choose another measure.")
        if self.monitor == KL and query.copies(backbone):
            raise UserError(f"stage={self.name} by kl: {COPIES}")

    def prepare(self, workplace: Workplace) -> Training:
        """Find the training queries and their negatives."""
        if not any(weight.requires_grad for weight in workplace.dual_encoder.parameters()):
            raise UserError("Nothing is left to train; take something out of backbone.freeze.")
        self._require_divergence(workplace)
        return partial(self._train, workplace, self._batches(workplace))

    def _train(self, workplace: Workplace, batches: ContrastiveBatches, logger: Logger | None) -> dict[str, Any]:
        """Train from the latest checkpoint, or from the start; leave the best weights in the dual encoder."""
        checkpoints = Checkpoints(workplace.checkpoints)
        state = checkpoints.state()
        history = History(**state["history"]) if state else History()
        first_step = state["step"] if state else 0
        if state:
            checkpoints.load_weights(workplace.dual_encoder)
        if first_step < workplace.max_steps and not history.stopped:
            batches.between(first_step, workplace.max_steps, workplace.rank, workplace.ranks)
            self._fit(workplace, batches, checkpoints, history, first_step, logger)
        if self.weights == "best":
            load_weights(workplace.dual_encoder, checkpoints.best)
        workplace.dual_encoder.query = workplace.dual_encoder.query.served(workplace.encoding)
        return self._summary(batches, history)

    def _batches(self, workplace: Workplace) -> ContrastiveBatches:
        separator = workplace.dual_encoder.query.title_separator
        batches = ContrastiveBatches(self._examples(workplace), self.batch_size, workplace.seed, separator)
        return batches.between(0, workplace.max_steps, workplace.rank, workplace.ranks)

    def _examples(self, workplace: Workplace) -> Examples:
        """Gather what batches are drawn from."""
        split, negatives = workplace.dataset.split("train"), workplace.negatives
        candidates = negatives.candidates(workplace.dataset, split, workplace.lexical, workplace.store)
        return labelled(workplace.dataset, split, candidates, negatives.count)

    def _require_divergence(self, workplace: Workplace) -> None:
        if self.monitor != KL:
            return
        query, document = workplace.dual_encoder.query, workplace.dual_encoder.document
        if query.fingerprint("document") == document.fingerprint("document"):
            raise UserError(f"stage={self.name} by kl: {COPIES}")
        split = workplace.dataset.split("validation")
        documents = narrowed(split, self.validation_queries, self.validation_documents, workplace.seed).documents
        distinct = len(set(documents.take(sample_of(documents))))
        if distinct < LEAST_SAMPLE:
            raise UserError(
                f"stage.monitor=kl needs at least {LEAST_SAMPLE} different documents, and of the validation split "
                f"{distinct} are used; choose another measure, or raise stage.validation_documents."
            )

    def _table(self, workplace: Workplace, examples: Examples) -> JoinedVectors | None:
        """Give the vectors of all documents where the document tower is frozen."""
        return None

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
        table = self._table(workplace, batches.examples)
        module = ContrastiveModule(
            workplace.dual_encoder,
            batches.examples,
            self.objective,
            schedule,
            self.weight_decay,
            workplace.seed,
            self.query_learning_rate,
            table,
        )
        validation = Validation(
            workplace.dataset,
            self.validation_queries,
            self.validation_documents,
            workplace.encoding,
            workplace.store,
            table is not None,
            workplace.seed,
        )
        stops = self.on_collapse == "stop"
        rhythm = Rhythm(steps, self.validate_every, self.checkpoint_every, self.monitor, self.patience, stops)
        with (
            progress("Training", steps - first_step, "steps") as advance,
            dropout(workplace.dual_encoder, self.dropout),
        ):

            def after_step() -> None:
                advance(1)
                workplace.count_step()

            course = Course(
                rhythm, history, checkpoints, validation, after_step, workplace.say, self.begins, self.start
            )
            trainer = workplace.trainer(
                **self._trainer_settings(workplace),
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

    def _trainer_settings(self, workplace: Workplace) -> dict[str, Any]:
        """Settings of the trainer that this stage cannot leave to the configuration."""
        return {}

    def _summary(self, batches: ContrastiveBatches, history: History) -> dict[str, Any]:
        last_loss = history.losses[-1]
        best = history.best_step(self.monitor)
        kept = best if self.weights == "best" else int(last_loss["step"])
        validation = next(row for row in history.validations if row["step"] == kept)
        start = self.start or history.validations[0]
        return {
            "stage": self.name,
            "steps": int(last_loss["step"]),
            "best_step": best,
            "kept_step": kept,
            "monitor": self.monitor,
            "stopped_early": history.stopped,
            "queries": len(batches.trainable),
            "loss": last_loss["loss"],
            **collapse_summary(history.validations, start),
            "below_start": below_start(start, validation, self.monitor),
            "validation": validation,
            "curves": {"loss": history.losses, "validation": history.validations},
        }


class Joint(ContrastiveFineTuning):
    """Both towers of a pair from the start, without alignment: what collapses when they are unlike."""

    needs_own_weights = True
