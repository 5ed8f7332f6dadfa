"""The sweeper: every combination of the axes, what is missing of them launched, and none twice."""

from collections.abc import Mapping, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override


class GridSweeper(BasicSweeper):
    """Hydra's sweeper of combinations, which goes on where it was and past cells that fail.

    A cell's folder is found by its settings, so the same command, or one with more values on its axes, launches only
    what is missing. Run folders say what became of the cells, so it does not matter where the launcher runs them.

    Args:
        params: The axes by override key, each `value,value,…`; those of the command line take their place.
    """

    def __init__(self, params: Mapping[str, str] | None) -> None:
        super().__init__(max_batch_size=None, params=dict(params or {}))

    def sweep(self, arguments: list[str]) -> None:
        """Preview the cells, launch those that are missing, and tabulate what became of all.

        Raises:
            UserError: When a cell failed; the sentence says how many, and how to go on.
        """
        # Late: Hydra looks at its sweepers whenever it starts, and these import what trains.
        from pipeline.sweeping.plan import plan
        from pipeline.sweeping.run import SweepRun

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        ((*combinations,),) = self.split_arguments(overrides, None)
        cells = plan(self.config, loader, combinations)
        SweepRun(self.config, _axes(overrides), cells, self.launcher).run()


def _axes(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """Give the values of every axis; a later override of the same key takes the place of an earlier one."""
    last = {override.get_key_element(): override for override in overrides}
    return {
        key.lstrip("+~"): list(override.sweep_string_iterator())
        for key, override in last.items()
        if override.is_discrete_sweep()
    }
