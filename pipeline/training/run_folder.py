"""The run folder: named by its overrides, recognised by its configuration, finished or not."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import UserError
from pipeline.evaluation.cells import OVERRIDES
from pipeline.files import atomic_write, digest_of, disk_errors, locked, read_json, write_json
from pipeline.training.cost import COST

ELSEWHERE = ("folder", "tables", "logger", "preview", "threads")
"""Settings that say where and how fast things go, not what comes out; runs that differ only in them are the same."""
CONFIG = "config.yaml"
LOCK = ".run"
"""What is locked in a run folder while a process works in it."""
LONGEST_NAME = 160
"""In bytes; file systems take 255, and others put something before or after it."""
UNNAMED = (*ELSEWHERE, "launcher", "hydra")
"""Overrides that a folder is not named by."""


class RunFolder:
    """Where a cell of the grid keeps all it makes.

    Args:
        config: The composed configuration.
        overrides: What the command line, or the sweep, changed; names the folder when `folder` is not set.
        within: Where it lies then: below `outputs`, or in the folder of a sweep.
    """

    def __init__(self, config: DictConfig, overrides: list[str], within: Path = Path("outputs")) -> None:
        self.config, self.overrides = config, overrides
        self.settings = _settings(config)
        self.path = Path(config.folder) if config.folder else _place(within, overrides, self.settings)

    @classmethod
    def of_job(cls, config: DictConfig, hydra: Any) -> "RunFolder":
        """Give the folder of a job as Hydra describes it, alone or of a sweep.

        Args:
            config: The composed configuration.
            hydra: Hydra's own part of it.
        """
        within = Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else Path("outputs")
        return cls(config, list(hydra.overrides.task), within)

    @property
    def metrics(self) -> Path:
        """The file that is written last: with it, the run is finished."""
        return self.path / "metrics.json"

    @property
    def finished(self) -> bool:
        """Whether everything was done."""
        return self.metrics.exists()

    @property
    def begun(self) -> bool:
        """Whether there is anything that another configuration, or other data, could spoil."""
        return self.finished or (self.path / "checkpoint").exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against other processes.

        Raises:
            UserError: When the folder holds a run of another configuration.
        """
        with locked(self.path / LOCK, f"the run in {self.path}"):
            self._claim()
            yield

    def rest_on(self, inputs: dict[str, str]) -> None:
        """Note what the run is made from, and refuse to go on, or to count as finished, with anything else.

        Paths stay the same when the files behind them change, so the configuration alone cannot tell.

        Args:
            inputs: Fingerprints by what they are of.

        Raises:
            UserError: When the folder's run was made from other data or weights.
        """
        place = self.path / "inputs.json"
        if not (place.exists() and self.begun):
            write_json(place, inputs)
            return
        there = read_json(place)
        changed = sorted(what for what in there.keys() | inputs.keys() if there.get(what) != inputs.get(what))
        if changed:
            raise UserError(
                f"{self.path} holds a run made from another {changed[0]} (same settings, but its contents have changed "
                "since); give another folder=… or remove it."
            )

    def say(self, sentence: str) -> None:
        """Tell the user where the run stands, and note it in `log.txt` with the time."""
        print(sentence, file=sys.stderr, flush=True)
        with disk_errors(self.path), open(self.path / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {sentence}\n")

    def require_same_configuration(self) -> None:
        """Refuse a folder that holds a run of another configuration.

        Raises:
            UserError: Naming a setting that differs.
        """
        changed = self._changed()
        if changed is not None and self.begun:
            raise UserError(
                f"{self.path} holds a run of another configuration ({changed}); give another folder=… or remove it."
            )

    def _changed(self) -> str | None:
        """Name a setting that differs from the folder's configuration, where it has one that does."""
        place = self.path / CONFIG
        if not place.exists():
            return None
        there, here = _flat(_settings(OmegaConf.load(place))), _flat(self.settings)  # type: ignore[arg-type]
        changed = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
        return f"{changed[0]} is {there.get(changed[0])} there and {here.get(changed[0])} here" if changed else None

    def _claim(self) -> None:
        self.require_same_configuration()
        if self._changed() is not None:
            (self.path / COST).unlink(missing_ok=True)  # what another configuration cost
        with atomic_write(self.path / CONFIG) as file:
            file.write(OmegaConf.to_yaml(self.config, resolve=True))
        with atomic_write(self.path / OVERRIDES) as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(self.overrides)))


def _settings(config: DictConfig) -> dict[str, Any]:
    """What determines the result."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key not in ELSEWHERE}


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(_flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value})
    return flat


def _place(within: Path, overrides: list[str], settings: dict[str, Any]) -> Path:
    """Find the folder of a run with these settings, whatever overrides it was named by, or name a new one."""
    digest = digest_of(settings)[:8]
    there = sorted(path for pattern in (digest, f"*,{digest}") for path in within.glob(pattern))
    return there[0] if there else within / _name(overrides, digest)


def _name(overrides: list[str], digest: str) -> str:
    """Name a folder by its overrides, for people, and by its settings, so that no two cells share one."""
    keys = {override: override.lstrip("+~").partition("=")[0] for override in overrides}
    said = [_short(override) for override, key in sorted(keys.items()) if key.partition(".")[0] not in UNNAMED]
    while said and len(",".join([*said, digest]).encode()) > LONGEST_NAME:
        del said[0]
    return ",".join([*said, digest])


def _short(override: str) -> str:
    key, _, value = override.lstrip("+~").partition("=")
    return re.sub(r"[^\w.=@-]+", "_", f"{key.split('.')[-1]}={value.rstrip('/').split('/')[-1]}")
