"""Alignment: a query tower learns to meet the vectors of a document tower that is frozen."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pytorch_lightning.loggers import Logger

from pipeline.checks import one_of, whole_number
from pipeline.data.joined import JoinedVectors
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import QueryTower
from pipeline.encoders.static_tower import StaticTower
from pipeline.errors import UserError
from pipeline.retrieval.negatives import Negatives
from pipeline.training.alignment_texts import PAIRS, TEXTS, AlignmentTexts, alignment_texts
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.examples import Examples
from pipeline.training.fine_tuning import ContrastiveFineTuning
from pipeline.training.objectives import objective as make_objective
from pipeline.training.stages import Training, Workplace


class Alignment(ContrastiveFineTuning):
    """The query tower alone, against a document tower that is frozen (DAFT's first stage, Leonhardt et al. 2022).

    A frozen tower is a table: its vectors of all training documents are computed once, and it never runs again.

    Args:
        max_steps: Steps at most; None: as many as the trainer is set to.
        texts: What the query tower reads, any of `alignment_texts.TEXTS`.
        sentences: Sentences at most, where these are among the texts.
        objective: `contrastive`, `squared_error` or `embedding_divergence`.
        settings: As in `ContrastiveFineTuning`.
    """

    needs_own_weights = True

    def __init__(
        self, max_steps: int | None, texts: Sequence[str], sentences: int, objective: str, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.max_steps = None if max_steps is None else whole_number("stage.max_steps", max_steps)
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise UserError(f"stage.texts={texts} must be a list; write stage.texts=[queries].")
        self.texts = [one_of("stage.texts", name, TEXTS) for name in texts]
        if not self.texts or len(set(self.texts)) < len(self.texts):
            raise UserError(f"stage.texts={list(texts)} must name one or more of {', '.join(TEXTS)}, each once.")
        self.sentences = whole_number("stage.sentences", sentences)
        self.objective = make_objective(objective, settings["temperature"], settings["normalisation"])

    @property
    def uses_negatives(self) -> bool:
        """Whether documents that are not a query's own count, and some texts have them."""
        return self.objective.negatives and PAIRS in self.texts

    def require(self, query: QueryTower, negatives: Negatives, backbone: Backbone) -> None:
        """Refuse one tower, which freezing for the documents would freeze for the queries too, and idle negatives."""
        super().require(query, negatives, backbone)
        if negatives.count and not self.uses_negatives:
            raise UserError(
                f"stage={self.name} has no use for negatives: its objective or its texts know none; "
                "choose negatives=in_batch."
            )

    def prepare(self, workplace: Workplace) -> Training:
        """Refuse a query tower that is frozen itself."""
        query, document = workplace.dual_encoder.query, workplace.dual_encoder.document
        if not any(weight.requires_grad for weight in set(query.parameters()) - set(document.parameters())):
            raise UserError("Nothing of the query tower is left to train; take something out of its backbone.freeze.")
        return super().prepare(replace(workplace, max_steps=self.max_steps or workplace.max_steps))

    def _train(self, workplace: Workplace, batches: ContrastiveBatches, logger: Logger | None) -> dict[str, Any]:
        """Train with the document tower out of it, and give it back as it was."""
        with _frozen(workplace):
            return super()._train(workplace, batches, logger)

    def _examples(self, workplace: Workplace) -> Examples:
        """Gather the texts, with labels and without."""
        return alignment_texts(workplace, self.texts, self.sentences)

    def _table(self, workplace: Workplace, examples: Examples) -> JoinedVectors:
        """Encode what the texts shall meet, once."""
        assert isinstance(examples, AlignmentTexts)
        return examples.table(workplace)

    def _trainer_settings(self, workplace: Workplace) -> dict[str, Any]:
        """Sparse gradients cannot be clipped, and Adam's steps do not grow with them."""
        query = workplace.dual_encoder.query
        return {"gradient_clip_val": None} if isinstance(query, StaticTower) and query.sparse else {}


@contextmanager
def _frozen(workplace: Workplace) -> Iterator[None]:
    """Take the document tower out of training for a while, and let a static query tower have sparse gradients."""
    query, document = workplace.dual_encoder.query, workplace.dual_encoder.document
    trained = [weight for weight in document.parameters() if weight.requires_grad]
    document.requires_grad_(False)
    if isinstance(query, StaticTower):
        query.sparse = workplace.ranks == 1  # gradients of several processes are averaged as dense ones
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)
        if isinstance(query, StaticTower):
            query.sparse = False
