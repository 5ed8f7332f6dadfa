"""DAFT: two stages in one, each measured."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytorch_lightning.loggers import Logger

from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import QueryTower
from pipeline.retrieval.negatives import InBatch, Negatives
from pipeline.training.alignment import Alignment
from pipeline.training.fine_tuning import ContrastiveFineTuning
from pipeline.training.stages import Stage, Training, Workplace


class Daft(Stage):
    """Distribution-aligned fine-tuning: align the query tower, then fine-tune both (Leonhardt et al. 2022).

    Only weights pass from one to the other. Each has checkpoints of its own, and the pair is measured in between.

    Args:
        name: What the stage is called in the run folder.
        align: The settings of `Alignment` that are its own.
        settings: Those of both parts, as in `ContrastiveFineTuning`.
    """

    needs_own_weights = True

    def __init__(self, name: str, align: Mapping[str, Any], **settings: Any) -> None:
        self.name = name
        self.align = Alignment(**{**settings, **align, "name": "align"})
        self.fine_tune = ContrastiveFineTuning(name="fine_tune", **settings)

    def require(self, query: QueryTower, negatives: Negatives, backbone: Backbone) -> None:
        """Refuse what either part cannot use; the negatives are the second's where the first has no use for them."""
        super().require(query, negatives, backbone)
        self.align.require_divergence(query, backbone)
        self.fine_tune.require(query, negatives, backbone)

    def prepare(self, workplace: Workplace) -> Training:
        """Prepare both parts."""
        negatives = workplace.negatives if self.align.uses_negatives else InBatch()
        align = self.align.prepare(replace(workplace, checkpoints=workplace.checkpoints / "align", negatives=negatives))
        fine_tune = self.fine_tune.prepare(replace(workplace, checkpoints=workplace.checkpoints / "fine_tune"))

        def train(logger: Logger | None) -> dict[str, Any]:
            return self._both(workplace, align, fine_tune, logger)

        return train

    def _both(
        self, workplace: Workplace, align: Training, fine_tune: Training, logger: Logger | None
    ) -> dict[str, Any]:
        aligned = align(logger)
        workplace.say(f"Aligned in {aligned['kept_step']} steps; measuring, then fine-tuning both towers.")
        workplace.score("aligned")
        query = workplace.dual_encoder.query
        query.learning_rate = type(query).learning_rate  # weights that were random are so no longer
        self.fine_tune.begins, self.fine_tune.start = aligned["steps"], aligned["curves"]["validation"][0]
        return fine_tune(logger) | {"stage": self.name, "align": aligned}
