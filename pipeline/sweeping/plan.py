"""The cells of a sweep: their folders, what is done already, and which cannot be run at all."""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline.entry import require_own_places
from pipeline.errors import UserError
from pipeline.evaluation.cell_record import CellRecord, read_record
from pipeline.files import digest_of, read_json
from pipeline.training.fitness import require_data, unfit
from pipeline.training.run_folder import RunFolder

UNTRAINED = ("backbone", "pooling", "encoder", "query", "pretraining")
"""Settings that decide a dual encoder before training."""


@dataclass(frozen=True)
class PlannedCell:
    """One combination of the axes.

    Attributes:
        overrides: What the sweep chooses for it, as `key=value`, with what the command line chose for all.
        folder: Its run folder.
        reason: Why it cannot be run; None when it can.
        resumed: Whether it was finished before this sweep began.
        untrained: Fingerprint of its dual encoder before training.
        kind: Fingerprint of what decides how long it takes, more or less.
        before: What an earlier sweep left of it.
    """

    overrides: tuple[str, ...]
    folder: RunFolder
    reason: str | None
    resumed: bool
    untrained: str
    kind: str
    before: CellRecord | None

    @property
    def record(self) -> CellRecord | None:
        """What became of it in this sweep."""
        record = read_record(self.folder.path)
        return None if record == self.before else record

    def choices(self, axes: Sequence[str]) -> dict[str, str]:
        """What it has on the axes."""
        pairs = (override.lstrip("+~").partition("=") for override in self.overrides)
        chosen = {key: value for key, _, value in pairs}
        return {key: chosen[key] for key in axes if key in chosen}


def plan(config: DictConfig, loader: ConfigLoader, combinations: Sequence[Sequence[str]]) -> list[PlannedCell]:
    """Compose every cell and look at what is there of it.

    Args:
        config: The composed configuration of the sweep, Hydra's part included.
        loader: Composes the cells.
        combinations: The overrides of every cell.

    Raises:
        UserError: When a cell cannot be composed, a value of it cannot be meant, two cells would share one folder, or a
            folder holds something else.
    """
    require_own_places(config.hydra)
    if config.hydra.sweep.subdir != ".":
        raise UserError(
            f"hydra.sweep.subdir={config.hydra.sweep.subdir} would change nothing: the cells of hydra.sweep.dir are named by "
            "their overrides; leave it out, or give folder=… with the axes in it."
        )
    cells = [_planned(composed, list(overrides)) for composed, overrides in _composed(config, loader, combinations)]
    folders: dict[Path, PlannedCell] = {}
    for cell in cells:
        other = folders.setdefault(cell.folder.path, cell)
        if other is not cell:
            raise UserError(
                f"{' '.join(other.overrides)} and {' '.join(cell.overrides)} would share the folder {cell.folder.path}; "
                "name each value once, and leave folder=… to the sweep or let it name the axes."
            )
    return cells


def _composed(
    config: DictConfig, loader: ConfigLoader, combinations: Sequence[Sequence[str]]
) -> list[tuple[DictConfig, Sequence[str]]]:
    """Compose every cell; a setting that only some of them have is not one that none has."""
    composed, refused = [], []
    for overrides in combinations:
        try:
            composed.append((loader.load_sweep_config(config, list(overrides)), overrides))
        except ConfigCompositionException as error:
            refused.append((error, overrides))
    if not refused:
        return composed
    first, overrides = refused[0]
    found = re.search(r"Could not override '([^'@]*)", str(first))
    if found is None or not composed:
        raise first
    shared = set.intersection(*map(set, combinations))
    odd = " ".join(word for word in overrides if word not in shared)
    raise UserError(
        f"{odd}: the choices of this cell have no setting {found[1]}; give such choices a sweep of their own, or put ++ "
        "before the setting."
    ) from first


def _planned(config: DictConfig, overrides: Sequence[str]) -> PlannedCell:
    with _as_job(config) as job:
        folder = RunFolder.of_job(job, config.hydra)
        folder.require_same_configuration()
        if folder.finished:
            read_json(folder.metrics)  # damaged, it is not to count as done
        reason = None if folder.finished else unfit(job)
        if reason is None and not folder.finished:
            require_data(job)
        settings, before = folder.settings, read_record(folder.path)
        return PlannedCell(
            tuple(overrides), folder, reason, folder.finished, _untrained(settings), kind_of(settings), before
        )


@contextmanager
def _as_job(config: DictConfig) -> Iterator[DictConfig]:
    """Give a cell's configuration as its job will have it: without Hydra's part, which its interpolations may name."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    job = copy.deepcopy(config)
    with open_dict(job):
        del job["hydra"]
    try:
        yield job
    finally:
        HydraConfig.instance().cfg = before


def _untrained(settings: dict[str, Any]) -> str:
    query = settings["query"]
    # A shared projection has a dimension.
    new_layers = (settings["encoder"]["projection"], query.get("projection"), query.get("dimension"))
    drawn = "random" in (settings["backbone"].get("init"), query.get("init")) or any(new_layers)
    read = settings["dataset"] if settings["pretraining"] else None
    seed = settings["seed"] if drawn or read else None
    return digest_of([{part: settings[part] for part in UNTRAINED}, read, seed])


def kind_of(settings: dict[str, Any]) -> str:
    """Fingerprint what decides how long a cell takes, more or less: everything but seeds and initial weights."""
    backbone = {key: value for key, value in settings["backbone"].items() if key not in ("init", "freeze")}
    stage = {key: settings["stage"].get(key) for key in ("name", "batch_size", "max_steps")}
    steps = settings["trainer"]["max_steps"]
    parts = [backbone, stage, steps, settings["dataset"], settings["encoder"], settings.get("pretraining")]
    return digest_of(parts)


def seconds_by_kind(cells: Sequence[PlannedCell], beside: Path) -> dict[str, float]:
    """Find how long finished cells of the same kinds took, in this sweep or another beside it: medians, in seconds."""
    kinds = {cell.kind for cell in cells}
    found: dict[str, list[float]] = {}
    for place in (*beside.glob("*/config.yaml"), *beside.glob("*/*/config.yaml")):
        record = read_record(place.parent)
        if record is None or record.state != "done":
            continue
        kind = _kind_there(place)
        if kind in kinds:
            found.setdefault(kind, []).append(record.seconds)
    return {kind: median(seconds) for kind, seconds in found.items()}


def _kind_there(place: Path) -> str | None:
    settings = OmegaConf.to_container(OmegaConf.load(place))
    try:
        return kind_of(settings)  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError):  # of an older version
        return None
