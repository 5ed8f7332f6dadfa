"""A folder of results: named by its overrides, recognised by its settings and inputs, finished or not."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipeline.errors import UserError
from pipeline.evaluation.cells import OVERRIDES
from pipeline.evaluation.results import METRICS
from pipeline.files import atomic_write, disk_errors, locked, read_json, write_json
from pipeline.folder_names import ELSEWHERE, flattened, folder_for

CONFIG = "config.yaml"
INPUTS = "inputs.json"
LOCK = ".run"
"""What is locked in a run folder while a process works in it."""
RESULTS = ("checkpoint", "transfer", "runs", "results.csv", "summary.csv", METRICS, "findings.md")
"""What other settings, or other data, could spoil: the first and the last that each command writes."""


class ResultFolder:
    """Where a command keeps all that it makes of one configuration.

    Args:
        config: The composed configuration.
        overrides: What the command line, or the sweep, changed; names the folder when `folder` is not set.
        within: Where it lies then: below `outputs`, or in the folder of a sweep.
        first: What the name begins with then.
        last: The file that is written last: with it, everything was done.

    Raises:
        UserError: When `folder` is a file.
    """

    def __init__(
        self,
        config: DictConfig,
        overrides: list[str],
        within: Path = Path("outputs"),
        first: str = "",
        last: str = METRICS,
    ) -> None:
        self.config, self.overrides, self.last = config, overrides, last
        self.settings = _settings(config)
        self.in_sweep = not config.folder and within != Path("outputs")
        if config.folder is not None and not isinstance(config.folder, str):
            raise UserError(f"folder={config.folder} must be the name of a folder.")
        self.path = Path(config.folder) if config.folder else folder_for(within, first, overrides, self.settings)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"folder={self.path} is a file; give a folder.")

    @property
    def finished(self) -> bool:
        """Whether everything was done."""
        return (self.path / self.last).exists()

    @property
    def begun(self) -> bool:
        """Whether there is anything that another configuration, or other data, could spoil."""
        return any((self.path / name).exists() for name in RESULTS)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against other processes; one that was made for a command which is then refused goes again.

        Raises:
            UserError: When the folder holds results of another configuration.
        """
        new = not self.path.exists()
        with locked(self.path / LOCK, f"the run in {self.path}"):
            self._claim()
            try:
                yield
            except UserError:
                # A sweep finds in its cells' folders why they were refused.
                if new and not self.in_sweep and not (self.path / INPUTS).exists():
                    shutil.rmtree(self.path)
                raise

    def rest_on(self, inputs: Mapping[str, str]) -> None:
        """Note what the results are made from, and refuse to go on, or to count as finished, with anything else.

        Paths stay the same when the files behind them change, so the configuration alone cannot tell.

        Args:
            inputs: Fingerprints by what they are of.

        Raises:
            UserError: When the folder's results were made from other data or weights.
        """
        place = self.path / INPUTS
        if not self.begun:
            write_json(place, inputs)
            return
        if not place.exists():
            self.say(f"{self.path} does not say what it was made from: nobody can tell whether that has changed.")
            return
        there = read_json(place)
        changed = sorted(what for what in there.keys() | inputs.keys() if there.get(what) != inputs.get(what))
        if changed:
            raise UserError(
                f"{self.path} holds a run made from another {changed[0]} (same settings, but its contents have changed "
                f"since); {self._otherwise()}."
            )

    def say(self, sentence: str) -> None:
        """Tell the user where the run stands, and note it in `log.txt` with the time."""
        print(sentence, file=sys.stderr, flush=True)
        with disk_errors(self.path), open(self.path / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {sentence}\n")

    def require_same_configuration(self) -> None:
        """Refuse a folder that holds results of another configuration.

        Raises:
            UserError: Naming a setting that differs.
        """
        unlike = self._unlike()
        if unlike is not None and self.begun:
            raise UserError(f"{self.path} holds {unlike}; {self._otherwise()}.")

    def _otherwise(self) -> str:
        """Say what can be done about a folder that holds something else."""
        return f"give another {'hydra.sweep.dir' if self.in_sweep else 'folder'}=… or remove it"

    def _unlike(self) -> str | None:
        """Say what the folder holds, where it is not of this configuration."""
        if not (self.path / CONFIG).exists():
            return f"results whose settings it does not say (it has no {CONFIG})" if self.begun else None
        settings = _read_settings(self.path / CONFIG)
        if settings is None:
            return f"a {CONFIG} that is damaged"
        if _kind(settings) != _kind(self.settings):
            return f"{_kind(settings)}, and this is {_kind(self.settings)}"
        there, here = flattened(settings), flattened(self.settings)
        changed = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
        if not changed:
            return None
        key = changed[0]
        return f"a run of another configuration ({key} is {there.get(key)} there and {here.get(key)} here)"

    def _claim(self) -> None:
        self.require_same_configuration()
        with atomic_write(self.path / CONFIG) as file:
            file.write(OmegaConf.to_yaml(self.config, resolve=True))
        with atomic_write(self.path / OVERRIDES) as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(self.overrides)))


def require_place(config: DictConfig, hydra: Any) -> None:
    """Refuse settings of `evaluate.py` and `probe.py` that say in a way which is not heeded where results go.

    Args:
        config: The composed configuration.
        hydra: Hydra's own part of it.

    Raises:
        UserError: Naming the setting that does.
    """
    if hydra.mode != RunMode.MULTIRUN:
        return
    if hydra.sweep.subdir != ".":
        raise UserError(
            f"hydra.sweep.subdir={hydra.sweep.subdir} would change nothing: jobs' folders are named by their settings; "
            "leave it out."
        )
    if config.folder is not None:
        raise UserError(
            f"folder={config.folder} is one folder, and every job of a sweep has its own; leave it out, and give "
            "hydra.sweep.dir=… for the folder that they lie in."
        )
    if config.get("compare") is not None or config.get("sweep") is not None:
        raise UserError("compare=[…] and sweep=FOLDER read many finished folders at once; leave -m out.")


def own_folder(config: DictConfig, hydra: Any, first: str, last: str = METRICS) -> ResultFolder:
    """Give the folder of a job of `evaluate.py` or `probe.py` as Hydra describes it, alone or of a sweep.

    Args:
        config: The composed configuration.
        hydra: Hydra's own part of it.
        first: What the folder's name begins with, where `folder` does not say it.
        last: The file that is written last.

    Raises:
        UserError: When the folder holds something else.
    """
    folder = ResultFolder(config, list(hydra.overrides.task), place_of(hydra), first, last)
    folder.require_same_configuration()
    return folder


def place_of(hydra: Any) -> Path:
    """Give the folder that a job's folder lies in where it is named by its overrides: of a sweep, the sweep's."""
    return Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else Path("outputs")


def _settings(config: DictConfig) -> dict[str, Any]:
    """What determines the result."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    settings = {str(key): value for key, value in container.items() if key not in ELSEWHERE}
    if isinstance(settings.get("models"), dict):
        settings["order of models"] = list(settings["models"])  # the first is what the others are compared with
    return settings


def _read_settings(path: Path) -> dict[str, Any] | None:
    """Read the settings that a folder was made with; None where the file is damaged."""
    try:
        config = OmegaConf.load(path)
        return _settings(config) if isinstance(config, DictConfig) else None
    except (YAMLError, OmegaConfBaseException):
        return None


def _kind(settings: Mapping[str, Any]) -> str:
    """Say which command settings are of."""
    return "a training" if "stage" in settings else "a probe" if "probe" in settings else "an evaluation"
