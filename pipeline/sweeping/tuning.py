"""The sweeper that tunes: trials proposed by what those before them reached on the validation split."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pipeline.checks import whole_number
from pipeline.errors import UserError


class TuningSweeper(Sweeper):
    """Proposes settings, trains with them in run folders of their own, and learns from the best validation of each.

    Args:
        search: Ranges and choices by override key.
        trials: How many, those of earlier commands included.
        at_once: Trials that are proposed and launched together.
        seed: Of the proposals.
    """

    def __init__(self, search: Mapping[str, Any], trials: int, at_once: int, seed: int) -> None:
        self.search: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(dict(search)))  # type: ignore[assignment]
        self.trials = whole_number("hydra.sweeper.trials", trials)
        self.at_once = whole_number("hydra.sweeper.at_once", at_once)
        self.seed = whole_number("hydra.sweeper.seed", seed, least=0)
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra has composed, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing and tabulate all.

        Raises:
            UserError: When the search cannot be meant, or no trial ends well.
        """
        # Late: Hydra looks at its sweepers whenever it starts, and these import what trains.
        from pipeline.sweeping.trials import Tuning

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        loader = self.hydra_context.config_loader
        for override in OverridesParser.create(config_loader=loader).parse_overrides(arguments):
            if override.is_sweep_override():
                key, _, values = str(override.input_line).partition("=")
                raise UserError(
                    f"{override.input_line} is an axis, and a tuning proposes values itself; give "
                    f"'++hydra.sweeper.search={{{key}: [{values}]}}'."
                )
        tuning = Tuning(self.config, loader, self.launcher, arguments, self.search, self.seed)
        tuning.run(self.trials, self.at_once)
