"""Tiny cells that are composed, trained and scored in the process of the tests."""

import json
from itertools import count
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from pipeline.training.cell import Cell, _cell
from pipeline.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent
TOPICS = ["wing", "heat", "flow", "shell", "wave", "jet"]
TINY = (
    "backbone=small_bert",
    "backbone.layers=1",
    "backbone.width=64",
    "dataset=jsonl",
    "stage.batch_size=8",
    "stage.learning_rate=1e-2",
    "stage.warmup_steps=1",
    "stage.validate_every=2",
    "trainer=float32",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "logger=none",
)
"""Settings of a cell that takes a third of a second."""


class Cells:
    """A place for tiny cells over one dataset of questions and answers that share a topic and a number.

    Args:
        place: Where everything goes.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.numbers = place, count()
        self.common: list[str] = []
        """Overrides of every cell."""
        rows = [
            {"query": f"what {topic} {number}", "document": f"{topic} number {number} of {TOPICS[number % 5]}"}
            for topic in TOPICS
            for number in range(20)
        ]
        (place / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

    def compose(self, *overrides: str, config: str = "train") -> DictConfig:
        """Compose a configuration; overrides come after those of a tiny cell, as far as their choices know them."""
        overrides = (*self.common, *overrides)
        unknown = ["stage."] if {"stage=zero_shot", "stage=mlm"} & {*overrides} else []
        unknown += ["backbone.width"] if any(word.startswith("backbone=") for word in overrides) else []
        tiny = [word for word in TINY if not word.startswith(tuple(unknown))]
        places = [f"dataset.path={self.place / 'pairs.jsonl'}", f"tables={self.place / 'tables'}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            composed = compose(config, overrides=[*tiny, *places, *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(composed)
        with open_dict(composed):
            del composed["hydra"]
        return composed

    def made(self, config: DictConfig) -> Any:
        """Put a cell together in a folder of its own."""
        config = config.copy()
        config.folder = str(self.place / f"run{next(self.numbers)}")
        folder = RunFolder(config, [])
        folder.path.mkdir()
        return _cell(config, folder)

    def trained(self, *overrides: str) -> dict[str, Any]:
        """Train a cell, and give what its run folder would say of the training."""
        cell = self.made(self.compose(*overrides))
        return cell._training()(None) if isinstance(cell, Cell) else cell.pretraining.train(cell.folder.path, None)
