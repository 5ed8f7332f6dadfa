"""A study of Optuna's in the folder of a sweep: proposals, and what became of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial

JOURNAL = "study.journal"
SETTINGS = "settings"


class Study:
    """Proposes trials by those before them (tree-structured Parzen estimator, Bergstra et al. 2011).

    A proposal is a function of the seed, its number and the trials before it, so a study that was interrupted ends as an
    undisturbed one.

    Args:
        folder: Of the sweep; holds the journal.
        space: What may be tried.
        minimise: Whether less is better.
        settings: Fingerprint of all that is not tried; a journal is never continued with other settings.
        seed: Of the proposals.

    Raises:
        UserError: When Optuna is not installed, or the folder's study is of another space or other settings.
    """

    def __init__(
        self, folder: Path, space: Mapping[str, "BaseDistribution"], minimise: bool, settings: str, seed: int
    ) -> None:
        self.space, self.minimise, self.seed = dict(space), minimise, seed
        self.study = _open(folder / JOURNAL, minimise)
        named = {SETTINGS: settings, "space": {key: repr(value) for key, value in self.space.items()}}
        for name, value in named.items():
            there = self.study.user_attrs.setdefault(name, value) if self.trials else value
            if there != value:
                raise UserError(
                    f"{folder / JOURNAL} is a study of {'other settings' if name == SETTINGS else 'another search space'}; "
                    "give another hydra.sweep.dir=…, or remove that file."
                )
            self.study.set_user_attr(name, value)

    @property
    def trials(self) -> list["FrozenTrial"]:
        """All trials, in the order of their proposal."""
        return self.study.get_trials(deepcopy=False)

    @property
    def unfinished(self) -> list["FrozenTrial"]:
        """Trials that were proposed and of which nothing was told, because the sweep was interrupted."""
        return [trial for trial in self.trials if not trial.state.is_finished()]

    @property
    def ranked(self) -> list["FrozenTrial"]:
        """Trials that ended well, the best first, the earliest of equals first."""
        sign = 1 if self.minimise else -1
        values = {trial.number: trial.value for trial in self.trials}
        ended = {number: sign * value for number, value in values.items() if value is not None}
        return [self.trials[number] for number in sorted(ended, key=lambda number: (ended[number], number))]

    @property
    def best(self) -> "FrozenTrial | None":
        """The best trial; None before any has ended well."""
        return next(iter(self.ranked), None)

    def propose(self) -> "FrozenTrial":
        """Propose a trial."""
        from optuna.samplers import TPESampler

        drawn = np.random.SeedSequence((self.seed, len(self.trials))).generate_state(1)[0]
        self.study.sampler = TPESampler(seed=int(drawn), multivariate=False)
        number = self.study.ask(fixed_distributions=self.space).number
        return self.trials[number]

    def tell(self, trial: "FrozenTrial", value: float | None) -> None:
        """Note what a trial reached; None: it failed."""
        from optuna.trial import TrialState

        self.study.tell(trial.number, value, state=TrialState.FAIL if value is None else None)


def _open(journal: Path, minimise: bool) -> "OptunaStudy":
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise UserError("Tuning needs optuna, which is not installed; install it with: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    _mend(journal)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    direction: Any = "minimize" if minimise else "maximize"
    return optuna.create_study(storage=storage, study_name="tandem", direction=direction, load_if_exists=True)


def _mend(journal: Path) -> None:
    """Remove what a killed process may have left: half a line, and a lock of the journal's own.

    Whoever holds the sweep's lock is alone with the journal.
    """
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.exists():
        with open(journal, "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
