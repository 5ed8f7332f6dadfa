"""Configurations that were scored before and after their training, and what it added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.reporting.bases import Base, base_of
from pipeline.reporting.cells import Cell, Group
from pipeline.reporting.configurations import Configuration, configurations, setting_words
from pipeline.reporting.estimates import gains, interval_of, share_before
from pipeline.reporting.scored_weights import below_start_words
from pipeline.reporting.settings import identity
from pipeline.reporting.words import basis, measure_words, percent, signed, told

OF_THE_BASE = ("base", "backbone", "pretraining", "init")
"""Settings that say what a training begins from; all others are its recipe."""
FINE_TUNING = ("dpr", "joint", "")
"""Stages that train the document tower from the start; of older folders it is not known."""


@dataclass(frozen=True)
class Tuned:
    """A configuration that was scored before and after its training.

    Attributes:
        configuration: What was trained.
        base: What it began from.
        recipe_settings: What tells it apart beside its base, by column.
    """

    configuration: Configuration
    base: Base
    recipe_settings: Mapping[str, str]

    @property
    def cells(self) -> Sequence[Cell]:
        """One for each seed."""
        return self.configuration.cells

    @property
    def recipe(self) -> object:
        """What two trainings share that differ in their base and seed only."""
        return identity(self.cells[0].config, OF_THE_BASE)

    @property
    def stage(self) -> str:
        """What was trained, by the stage's name."""
        return str((self.cells[0].config.get("stage") or {}).get("name", ""))

    def of(self, cells: Sequence[Cell]) -> "Tuned":
        """Give the same of some of its seeds."""
        return replace(self, configuration=replace(self.configuration, cells=cells))


def tuned_in(group: Group) -> list[Tuned]:
    """Give the configurations of a group that were scored before and after a training."""
    trained = [one for one in configurations(group) if one.cells[0].trains and one.has("zero_shot")]
    bases = [base_of(one.cells[0]) for one in trained]
    recipes = [{key: value for key, value in one.settings.items() if not _is_of_the_base(key)} for one in trained]
    names = [(base.name, base.weights, *recipe.values()) for base, recipe in zip(bases, recipes, strict=True)]
    alike = len(set(names)) < len(names)  # bases that differ in more than their names and weights say
    return [
        Tuned(one, base, one.settings if alike else recipe)
        for one, base, recipe in zip(trained, bases, recipes, strict=True)
    ]


def _is_of_the_base(key: str) -> bool:
    return key.split(".")[0] in OF_THE_BASE


def added(group: Group, one: Tuned) -> str:
    """Say what fine-tuning adds to a base, or that it cannot be told."""
    measure = group.measures[0]
    gain = interval_of(gains(one.cells, measure))
    work = "fine-tuning" if one.stage in FINE_TUNING else "training"
    before, after = (one.configuration.interval(measure, system).mean for system in ("zero_shot", "dense"))
    how = ", ".join(setting_words(one.recipe_settings))
    where = f"{one.base.words}{f' ({how})' if how else ''}"
    below = f"; {said}" if (said := below_start_words(one.cells)) else ""
    path = f"{before:.3f} → {after:.3f}, {basis(group, one.configuration.seeds)}"
    if not told(gain):
        words = f"{signed(gain)} {measure_words(measure)} ({path}{below})"
        return f"before and after {work} {where} cannot be told apart, {words}"
    verb = "adds" if gain.mean > 0 else "takes"
    before_share = share_before(one.cells, measure)
    share = f"; {percent(before_share)} of the final score was there before" if before_share else ""
    tuned = ", which was tuned for retrieval before" if one.base.tuned_on else ""
    return f"{work} {verb} {signed(gain)} {measure_words(measure)} to {where}{tuned} ({path}{share}{below})"
