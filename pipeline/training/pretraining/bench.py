"""What a pre-training works with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from pipeline.data.dataset import Dataset
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.transformer_tower import TransformerTower


@dataclass(frozen=True)
class Bench:
    """What a pre-training works with.

    Attributes:
        dataset: Whose documents are the text.
        backbone: Where the weights come from.
        tower: Built of that backbone; its transformer is trained in place, and saved with its pooling.
        trainer: Makes a Lightning trainer of its remaining arguments.
        trainer_settings: Those of the configuration that decide what comes out.
        max_steps: Steps of the whole training.
        encoding: How texts are encoded for the anisotropy.
        say: Tells the user where the run stands.
        store: What runs share.
        seed: Fixes everything that is drawn.
        rank: This process's place among `ranks`.
        ranks: Processes that train together.
    """

    dataset: Dataset
    backbone: Backbone
    tower: TransformerTower
    trainer: Callable[..., pl.Trainer]
    trainer_settings: dict[str, Any]
    max_steps: int
    encoding: EncodingSettings
    say: Callable[[str], None]
    store: Path
    seed: int
    rank: int = 0
    ranks: int = 1
