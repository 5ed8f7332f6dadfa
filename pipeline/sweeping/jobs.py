"""The sweeper of `evaluate.py` and `probe.py`: every combination, each with a folder of its own in that of the sweep."""

from collections.abc import Mapping
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.next_step import report_on


class JobSweeper(BasicSweeper):
    """Hydra's sweeper of combinations, which leaves nothing behind but what its jobs make.

    Args:
        params: The axes by override key, each `value,value,…`; those of the command line take their place.
    """

    def __init__(self, params: Mapping[str, str] | None) -> None:
        super().__init__(max_batch_size=None, params=dict(params or {}))

    def sweep(self, arguments: list[str]) -> None:
        """Run every job, and say what reads all of their folders.

        Raises:
            UserError: What the first job that failed was refused with.
        """
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        ((*jobs,),) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        self.validate_batch_is_legal(jobs)
        folder = Path(self.config.hydra.sweep.dir)
        try:
            for job in self.launcher.launch(jobs, initial_job_idx=0):
                _ = job.return_value  # raises what the job did
        finally:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        print(f"Next: {report_on(folder)}")
