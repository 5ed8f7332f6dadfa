"""One tuning from its first proposal to its table, through any of Hydra's launchers."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.errors import UserError
from pipeline.evaluation.report import console_for_tables
from pipeline.files import digest_of, locked, read_json, write_csv
from pipeline.sweeping.outcome import CellOutcome, write_outcomes
from pipeline.sweeping.plan import PlannedCell, plan
from pipeline.sweeping.run import SweepRun
from pipeline.sweeping.search_space import described, distributions, override
from pipeline.sweeping.study import Study
from pipeline.training.validation import KL, best_validation

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HOPELESS = 3
"""A tuning of which so many trials have failed, and none ended well, is stopped."""
SHOWN = 10


class Tuning:
    """A study of trials, each a cell.

    Args:
        config: The composed configuration of the sweep, Hydra's part included.
        loader: Composes the cells.
        launcher: Runs them.
        arguments: Overrides that all trials share.
        search: Ranges and choices by override key.
        seed: Of the proposals.

    Raises:
        UserError: When the search cannot be meant, or the stage has nothing to tune by.
    """

    def __init__(
        self,
        config: DictConfig,
        loader: ConfigLoader,
        launcher: Launcher,
        arguments: Sequence[str],
        search: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.config, self.loader, self.launcher, self.arguments = config, loader, launcher, arguments
        self.search, self.seed = search, seed
        self.space = distributions(search)
        self.folder = Path(config.hydra.sweep.dir)
        self.monitor = config.stage.get("monitor")
        if self.monitor is None:
            raise UserError(
                f"stage={config.stage.name} trains nothing, and a tuning goes by validations; choose another."
            )
        self.outcomes: dict[int, CellOutcome] = {}

    def run(self, trials: int, at_once: int) -> None:
        """Propose, train and learn until there are so many trials, then tabulate them.

        Raises:
            UserError: When the launcher cannot run trials, or none ends well.
        """
        if self.config.preview:
            self._announce(trials)
            return
        with locked(self.folder / "study", f"the tuning in {self.folder}"):
            (base,) = plan(self.config, self.loader, [self.arguments])
            settings = digest_of(_without(base.folder.settings, self.search))
            study = Study(self.folder, self.space, self.monitor == KL, settings, self.seed)
            self._announce(trials, sum(trial.state.is_finished() for trial in study.trials))
            while batch := self._next(study, trials, at_once):
                self._try(study, batch)
            self._conclude(study)

    def _announce(self, trials: int, done: int | None = None) -> None:
        before = "" if done is None else f", {done} done before"
        print(f"{self.folder.name}: {trials} trials{before}; {self.monitor} of the validation split.", file=sys.stderr)
        for key, tried in self.search.items():
            print(f"  {key}: {described(tried)}", file=sys.stderr, flush=True)

    def _next(self, study: Study, trials: int, at_once: int) -> list["FrozenTrial"]:
        """Give the trials that an interruption left, then new ones."""
        batch = study.unfinished[:at_once]
        while len(batch) < at_once and len(study.trials) < trials:
            batch.append(study.propose())
        return batch

    def _try(self, study: Study, batch: Sequence["FrozenTrial"]) -> None:
        """Run trials and tell the study what they reached."""
        cells = plan(self.config, self.loader, [self._overrides(trial) for trial in batch])
        outcomes = SweepRun(self.config, self._axes(study), cells, self.launcher).complete()
        for trial, cell, outcome in zip(batch, cells, outcomes, strict=True):
            if outcome.state == "failed" and cell.record is None:
                raise UserError(f"The launcher could not run trial {trial.number}: {outcome.sentence}")
            self.outcomes[trial.number] = outcome
            value = self._value(cell)
            study.tell(trial, value)
            self._say(study, trial, value, outcome)
        self._write(study)
        failed = [outcome for outcome in self.outcomes.values() if outcome.state in ("failed", "skipped")]
        if len(failed) >= HOPELESS and study.best is None:
            raise UserError(f"The first {len(failed)} trials all failed, the last because: {failed[-1].sentence}")

    def _overrides(self, trial: "FrozenTrial") -> list[str]:
        return [*self.arguments, *(override(key, value) for key, value in trial.params.items())]

    def _value(self, cell: PlannedCell) -> float | None:
        return best_validation(read_json(cell.folder.metrics)["training"]) if cell.folder.finished else None

    def _say(self, study: Study, trial: "FrozenTrial", value: float | None, outcome: CellOutcome) -> None:
        settings = " ".join(override(key, value) for key, value in trial.params.items())
        best = study.best
        ending = f"failed: {outcome.sentence}" if value is None else f"{self.monitor} {value:.4f}"
        if best is not None:
            ending += f" (best so far: {best.value:.4f}, trial {best.number})"
        print(f"Trial {trial.number}: {settings}: {ending}", file=sys.stderr, flush=True)

    def _axes(self, study: Study) -> dict[str, list[str]]:
        """Give the values that were tried, by override key."""
        tried = [override(key, value).partition("=") for trial in study.trials for key, value in trial.params.items()]
        return {key: sorted({value for other, _, value in tried if other == key}) for key in self.space}

    def _write(self, study: Study) -> None:
        """Write `trials.csv`, and `sweep.json` as every sweep does."""
        write_outcomes(
            [self._outcome(trial) for trial in study.trials],
            self.folder.name,
            sys.argv[1:],
            self._axes(study),
            self.folder,
        )
        header = ["trial", *self.space, self.monitor, "state", "folder"]
        write_csv(self.folder / "trials.csv", header, [self._row(trial) for trial in study.trials])

    def _outcome(self, trial: "FrozenTrial") -> CellOutcome:
        """Say what became of a trial; those of earlier commands are looked up in their folders."""
        if trial.number not in self.outcomes:
            (cell,) = plan(self.config, self.loader, [self._overrides(trial)])
            run = SweepRun(self.config, dict.fromkeys(self.space, ()), [cell], self.launcher)
            (outcome,) = run.outcomes()
            if trial.state.name == "FAIL":
                outcome = replace(outcome, state="failed", sentence=cell.before.sentence if cell.before else None)
            self.outcomes[trial.number] = outcome
        return self.outcomes[trial.number]

    def _row(self, trial: "FrozenTrial") -> list[Any]:
        values = [override(key, trial.params[key]).partition("=")[2] for key in self.space]
        return [trial.number, *values, trial.value, trial.state.name.lower(), self._outcome(trial).folder]

    def _conclude(self, study: Study) -> None:
        """Print the best trials, and the command that trains with the settings of the best."""
        self._write(study)
        best = study.best
        if best is None:
            raise UserError(f"No trial of {self.folder} has ended well; {self.folder / 'trials.csv'} lists them.")
        console_for_tables().print(self._table(study))
        words = [word for word in sys.argv if word not in ("-m", "--multirun")]
        words = [word for word in words if not word.startswith(("hydra.", "preview="))]
        chosen = [override(key, value) for key, value in best.params.items()]
        print(f"Best: trial {best.number}, in {self.folder / self._outcome(best).folder}. Again, by itself:")
        print(f"  python {shlex.join([*words, *chosen])}")

    def _table(self, study: Study) -> Table:
        ended = study.ranked
        failed = len(study.trials) - len(ended)
        title = f"{self.folder} ({len(study.trials)} trials, {failed} failed; the best {min(SHOWN, len(ended))})"
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for column in ("trial", *self.space, f"{self.monitor} (validation)"):
            table.add_column(column, overflow="fold")
        for trial in ended[:SHOWN]:
            number, *values, _, _, _ = self._row(trial)
            table.add_row(str(number), *values, f"{trial.value:.4f}")
        return table


def _without(settings: Mapping[str, Any], keys: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Leave out the settings that are searched."""
    return {
        key: _without(value, keys, f"{above}{key}.") if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if f"{above}{key}" not in keys
    }
