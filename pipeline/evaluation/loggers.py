"""Where curves and figures go beside the run folder: Weights & Biases, a CSV file, or nowhere."""

import csv
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from pipeline.checks import one_of
from pipeline.evaluation.approximation import recall_of
from pipeline.evaluation.training_words import MARKS, training_lines
from pipeline.files import read_json, write_json

NAME_LENGTH = 128
"""Characters that W&B takes for a run's name."""
MODES = ("offline", "online", "disabled")


class SteppedWandbLogger(WandbLogger):
    """Counts W&B's steps as the training does.

    Lightning lets W&B count on its own. An interrupted run and its continuation, both recorded offline, would then both
    begin at 0; counted like this they lie on one curve, and what both have recorded is the same.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures of one step."""
        self.experiment.log({**metrics, "trainer/global_step": step}, step=step)


def flat_config(composed: Mapping[str, Any], choices: Mapping[str, str], dataset: str) -> dict[str, Any]:
    """Lay a configuration out as W&B's parallel coordinates and filters want it: one level, plain values.

    Args:
        composed: The composed configuration.
        choices: What was chosen of every group.
        dataset: What the dataset is called, which its settings may leave to its files.

    Returns:
        Choices by group (`stage: dpr`), and settings by path (`stage/learning_rate: 2e-5`).
    """
    chosen = {group: choice for group, choice in choices.items() if not group.startswith(("hydra", "launcher"))}
    return {**_flat(composed), **chosen, "dataset/name": dataset}


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}/")
        elif not str(key).startswith("_"):  # where the code is, not what it does
            flat[f"{above}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def wandb_logger(
    folder: Path,
    name: str,
    config: dict[str, Any],
    sweep: str | None,
    mode: str | None,
    project: str,
    entity: str | None,
    group: str | None,
    tags: list[str],
) -> WandbLogger:
    """Start, or continue, the W&B run of a run folder.

    A missing account or network never stops a run: it is said once, and the run is recorded offline.

    Args:
        folder: The run folder; W&B's files go below it.
        name: The run's name.
        config: Settings by name, as `flat_config` gives them.
        sweep: The sweep that the run belongs to, if any; groups its runs unless `group` says otherwise.
        mode: `offline`, `online` or `disabled`; None: as the environment's `WANDB_MODE` says, or offline.
        project: The W&B project.
        entity: The team or user; None: the account's default.
        group: Runs shown together; None: those of the sweep.
        tags: Of the run.
    """
    if mode is not None:
        one_of("logger.mode", mode, MODES)
    mode = mode or one_of("WANDB_MODE", os.environ.get("WANDB_MODE") or "offline", MODES)
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb  # late: it is slow to import, and only its own logger needs it

    if wandb.run is not None:  # of a cell before this one in the same process, which failed
        wandb.run.finish(exit_code=1)
    settings: dict[str, Any] = {
        "mode": mode,
        "name": name[-NAME_LENGTH:],
        "project": project,
        "entity": entity,
        "group": group or sweep,
        "tags": tags,
        "save_dir": folder,
        "id": _run_id(folder),
        "resume": "allow",
        "config": config,
    }
    logger = SteppedWandbLogger(**settings)
    try:
        _ = logger.experiment
    except Exception as error:  # W&B has no common class for what a missing account or network raises
        if mode != "online":
            raise
        print(
            f"W&B cannot be reached ({error}); this run is recorded offline: upload it with `wandb sync`.",
            file=sys.stderr,
        )
        logger = SteppedWandbLogger(**settings | {"mode": "offline"})
        _ = logger.experiment
    if logger.experiment.url:
        print(f"W&B shows this run at {logger.experiment.url}", file=sys.stderr)
    return logger


def _run_id(folder: Path) -> str:
    """Give the id that W&B knows a run folder by: kept in it, so that a resumed cell continues its curves.

    An agent of a W&B sweep has given its run an id already.
    """
    place = folder / "wandb_run.json"
    if not place.exists():
        write_json(place, {"id": os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:16]})
    return read_json(place)["id"]


def csv_logger(folder: Path, name: str, config: dict[str, Any], sweep: str | None) -> CSVLogger:
    """Write curves to `curves/metrics.csv` below the run folder."""
    return CSVLogger(folder, name="curves", version="")


def no_logger(folder: Path, name: str, config: dict[str, Any], sweep: str | None) -> None:
    """Log nowhere but in the run folder's own files."""
    return


def log_results(logger: Logger | None, metrics: dict[str, Any], folder: Path) -> None:
    """Send the final figures, the table of systems, the scores by query and the plots of a run folder.

    Args:
        logger: Where to; W&B takes all of it, others the figures.
        metrics: The contents of `metrics.json`.
        folder: The run folder.
    """
    if logger is None:
        return
    figures = {
        f"{system}/{name}": value for system, means in metrics["systems"].items() for name, value in means.items()
    }
    for system, details in metrics.get("details", {}).items():
        figures |= {f"{system}/{at} of exact search": share for at, share in recall_of(details).items()}
    record = metrics["training"].get("pretraining", {})
    figures |= {f"pretraining/{name}": value for name, value in record.items() if isinstance(value, int | float)}
    if not isinstance(logger, WandbLogger):
        logger.log_metrics(figures, step=metrics["training"]["steps"])
        logger.save()
        return
    training = metrics["training"]
    if "validation" in training:
        figures["validation/best"] = training["validation"].get(training["monitor"])
    said: dict[str, Any] = {key: bool(training.get(key)) for key in MARKS}
    logger.experiment.summary.update(figures | said | {"training": " ".join(training_lines(training))})
    log_tables(logger, folder, ("results", "per_query"))


def log_tables(logger: Logger | None, folder: Path, names: Sequence[str] | None = None) -> None:
    """Send tables and pictures of a folder to W&B, and end its run; other loggers have no place for them.

    Args:
        logger: Where to.
        folder: Holds `NAME.csv` and `plots/*.png`.
        names: Which tables; None: all of them.
    """
    if not isinstance(logger, WandbLogger):
        return
    import wandb  # late

    run = logger.experiment
    paths = sorted(folder.glob("*.csv")) if names is None else [folder / f"{name}.csv" for name in names]
    run.log({path.stem: _table(path) for path in paths if path.exists()})
    # Under a key of their own, as in the folder: a table and a picture of the same figures have the same name.
    run.log({f"plots/{path.stem}": wandb.Image(str(path)) for path in sorted((folder / "plots").glob("*.png"))})
    run.finish()


def _table(path: Path) -> Any:
    """Read a CSV file as a W&B table: columns of figures as numbers, empty where there is none, others as text."""
    import wandb

    with open(path, encoding="utf-8", newline="") as file:
        columns, *rows = list(csv.reader(file))
    values = [_column([row[place] for row in rows]) for place in range(len(columns))]
    return wandb.Table(columns=[*columns], data=[list(row) for row in zip(*values, strict=True)])


def _column(cells: Sequence[str]) -> list[float | None] | list[str]:
    """Read one column; W&B takes one type for all of it."""
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return list(cells)
