"""The run folder of a cell of the grid: a folder of results that also keeps count of what it cost."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline.evaluation.result_folder import ResultFolder, place_of
from pipeline.training.cost import COST


class RunFolder(ResultFolder):
    """Where a cell of the grid keeps all it makes."""

    @classmethod
    def of_job(cls, config: DictConfig, hydra: Any) -> "RunFolder":
        """Give the folder of a job as Hydra describes it, alone or of a sweep.

        Args:
            config: The composed configuration.
            hydra: Hydra's own part of it.
        """
        return cls(config, list(hydra.overrides.task), place_of(hydra))

    @property
    def metrics(self) -> Path:
        """The file that is written last: with it, the run is finished."""
        return self.path / self.last

    def _claim(self) -> None:
        if self._unlike() is not None and not self.begun:
            (self.path / COST).unlink(missing_ok=True)  # what another configuration cost
        super()._claim()
