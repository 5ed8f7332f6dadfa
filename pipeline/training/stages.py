"""Stages: what is trained, on which loss, until when."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from pipeline.data.dataset import Dataset
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import QueryTower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.errors import UserError
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.negatives import Negatives


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
        encoding: How texts are encoded for validation and tables.
        score: Measures the dual encoder as it is on the scored split, under a name of its own in the results.
        say: Tells the user where the run stands.
        count_step: Called after every training step.
        checkpoints: Where this training keeps its checkpoints.
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
    encoding: EncodingSettings
    score: Callable[[str], None]
    say: Callable[[str], None]
    count_step: Callable[[], None]
    checkpoints: Path
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
        needs_own_weights: Whether the query tower must have weights that the document tower does not have.
    """

    name: str
    trains: bool = True
    splits: tuple[str, ...] = ("train", "validation")
    needs_own_weights: bool = False

    def require(self, query: QueryTower, negatives: Negatives, backbone: Backbone) -> None:
        """Refuse choices that the stage cannot be combined with, before any weights or texts are read.

        Raises:
            UserError: Saying which can.
        """
        if self.needs_own_weights and not query.own_weights:
            raise UserError(
                f"stage={self.name} needs a query tower of its own, and this one's weights are the document tower's, "
                "which would be frozen or unlike themselves; choose query=static, first_k, miniature or twin."
            )

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
