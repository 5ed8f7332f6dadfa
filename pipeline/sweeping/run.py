"""One sweep from its preview to its table, through any of Hydra's launchers."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from pipeline.errors import UserError, sentence_of
from pipeline.evaluation.report import console_for_tables
from pipeline.next_step import report_on
from pipeline.sweeping.outcome import CellOutcome, outcome_of, outcomes_table, write_outcomes
from pipeline.sweeping.plan import PlannedCell, seconds_by_kind
from pipeline.sweeping.preview import preview
from pipeline.sweeping.watch import SECONDS_BETWEEN_LOOKS, watched

DEATHS = 2
"""A cell whose process ends without a word is begun again until it has done so this often: a worker that dies may take
its neighbours with it, and a cell goes on where it was."""


class SweepRun:
    """A sweep over planned cells.

    Args:
        config: The composed configuration of the sweep, Hydra's part included.
        axes: The values of every axis.
        cells: What there is to run, or was.
        launcher: Runs cells by their overrides.
    """

    def __init__(
        self, config: DictConfig, axes: Mapping[str, Sequence[str]], cells: Sequence[PlannedCell], launcher: Launcher
    ) -> None:
        self.config, self.axes, self.cells, self.launcher = config, axes, cells, launcher
        self.folder = Path(config.hydra.sweep.dir)
        self.waiting = [cell for cell in cells if cell.reason is None and not cell.resumed]
        self.deaths: Counter[Path] = Counter()
        self.unrecorded: dict[Path, str] = {}

    def run(self) -> None:
        """Say what will be done, do it, and say what was done.

        Raises:
            UserError: When a cell failed, or none can be run.
        """
        seconds = seconds_by_kind(self.cells, self.folder.parent)
        for line in preview(self.folder.name, self.cells, self.axes, seconds):
            print(line, file=sys.stderr, flush=True)
        if all(cell.reason is not None for cell in self.cells):
            raise UserError(f"No cell of {self.folder.name} can be run; the first because: {self.cells[0].reason}")
        if self.config.preview:
            return
        self._write()
        try:
            self.complete()
        finally:
            self._write()
        self._conclude()

    def complete(self) -> list[CellOutcome]:
        """Run what is missing.

        Returns:
            What became of every cell.
        """
        with watched(lambda: [self._outcome(cell) for cell in self.waiting]):
            self._launch_all()
        return self.outcomes()

    def outcomes(self) -> list[CellOutcome]:
        """Look up what became of every cell."""
        return [self._outcome(cell) for cell in self.cells]

    def _launch_all(self) -> None:
        """Launch until every cell is done, has failed, or has died too often."""
        batches = [self.waiting] if self.waiting else []
        while batches:
            batch = batches.pop(0)
            stopped = self._launch(batch)
            self._await_those_elsewhere(batch)
            if stopped is not None and not any(cell.record for cell in batch):
                self.unrecorded |= {cell.folder.path: stopped for cell in batch}
            states = {cell.folder.path: self._outcome(cell).state for cell in batch}
            if left := [cell for cell in batch if states[cell.folder.path] == "waiting" and stopped is not None]:
                batches.insert(0, left)
            # One by one, so that the cell which takes its neighbours with it is found out.
            batches += [[cell] for cell in batch if self._goes_on(cell)]

    def _launch(self, cells: Sequence[PlannedCell]) -> str | None:
        """Launch cells; a launcher that gives up says why, and one that comes back says what no run folder could."""
        try:
            results = self.launcher.launch([list(cell.overrides) for cell in cells], initial_job_idx=0)
        except Exception as error:  # each launcher has its own
            sentence = sentence_of(error)
            print(f"The launcher stopped: {sentence}", file=sys.stderr, flush=True)
            return sentence
        for cell, result in zip(cells, results, strict=True):
            if _failed(result):
                self.unrecorded[cell.folder.path] = sentence_of(result._return_value)
        return None

    def _await_those_elsewhere(self, cells: Sequence[PlannedCell]) -> None:
        """Wait for cells that another process, or another machine, still runs."""
        while any(self._outcome(cell).state == "running" for cell in cells):
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _goes_on(self, cell: PlannedCell) -> bool:
        """Whether a cell whose process has died is to be launched again."""
        if cell.folder.path in self.unrecorded:  # a launcher that can name the cell that it lost has lost no other
            return False
        state, record = self._outcome(cell).state, cell.record
        died = state == "failed" and record is not None and record.state == "running"
        self.deaths[cell.folder.path] += died
        return died and self.deaths[cell.folder.path] < DEATHS

    def _outcome(self, cell: PlannedCell) -> CellOutcome:
        return outcome_of(cell, list(self.axes), self.folder, self.unrecorded.get(cell.folder.path))

    def _write(self) -> None:
        write_outcomes(self.outcomes(), self.folder.name, sys.argv[1:], self.axes, self.folder)

    def _conclude(self) -> None:
        outcomes = self.outcomes()
        console_for_tables().print(outcomes_table(outcomes, list(self.axes), f"{self.folder} ({len(outcomes)} cells)"))
        failed = [outcome for outcome in outcomes if outcome.state not in ("done", "resumed", "skipped")]
        if any(outcome.state in ("done", "resumed") for outcome in outcomes):
            print(f"Next: {report_on(self.folder)}")
        if failed:
            raise UserError(
                f"{len(failed)} of {len(outcomes)} cells failed, the first because: "
                f"{(failed[0].sentence or failed[0].state).rstrip('.')}; mend that and give the same command again, "
                "which runs those alone."
            )


def _failed(result: JobReturn) -> bool:
    return result.status != JobStatus.COMPLETED
