"""The command that goes on from what was just made, ready to be pasted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from pipeline.choices import words_of
from pipeline.command_line import command, word


def say_next(line: str) -> None:
    """Print a command at the end of one that stands alone; a sweep says its own at its end."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        print(f"Next: {line}")


def evaluation_of(folder: Path, settings: Mapping[str, Any], tables: str) -> str:
    """Write the command that scores a run's model, with others beside it, on the dataset of its training.

    Args:
        folder: The run folder.
        settings: Of the run, resolved.
        tables: Where what runs share lies.
    """
    split = settings["evaluation"]["split"]
    words = [] if split == "test" else [word("split", split)]
    words += [] if tables == "outputs/tables" else [word("tables", tables)]
    return command("evaluate.py", word("models", [str(folder)]), *words_of("dataset", settings["dataset"]), *words)


def training_on(folder: Path) -> str:
    """Write the command that fine-tunes what a run has pre-trained."""
    return command("train.py", "backbone=local", word("backbone.path", str(folder)))


def report_on(folder: Path) -> str:
    """Write the command that makes a report of a finished folder."""
    return command("evaluate.py", word("compare", [str(folder)]))
