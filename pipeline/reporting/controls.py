"""What training adds to a base against what it adds to random weights, seed by seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.cells import Group
from pipeline.reporting.estimates import difference, gains, interaction, interval_of, matched
from pipeline.reporting.plurals import counted
from pipeline.reporting.scored_weights import below_start_words
from pipeline.reporting.section import Table, interval_words
from pipeline.reporting.tuned import Tuned, added
from pipeline.reporting.words import Finding, measure_words, signed, strength, told


@dataclass(frozen=True)
class Pair:
    """A base and random weights under the same recipe, on the seeds that both have.

    Attributes:
        whole: The base on all its seeds.
        base: The base on the seeds that both have.
        control: Random weights on the same.
        unmatched: How many seeds only one of both has.
    """

    whole: Tuned
    base: Tuned
    control: Tuned
    unmatched: int

    @property
    def same_build(self) -> bool:
        """Whether both differ in their weights alone."""
        return _same_build(self.base, self.control)

    @property
    def seeds(self) -> int:
        """How many seeds both have."""
        return len(self.base.cells)


def pairs_of(tuned: Sequence[Tuned]) -> Iterator[Pair]:
    """Pair every base with random weights under the same recipe: of its own architecture, or else of any other."""
    for one in tuned:
        if one.base.kind != "random" and (control := _control(one, tuned)):
            both = matched(one.cells, control.cells)
            base, other = one.of([cell for cell, _ in both]), control.of([cell for _, cell in both])
            yield Pair(one, base, other, len(one.cells) + len(control.cells) - 2 * len(both))


def _control(one: Tuned, tuned: Sequence[Tuned]) -> Tuned | None:
    candidates = [
        other
        for other in tuned
        if other.base.kind == "random" and other.recipe == one.recipe and matched(one.cells, other.cells)
    ]
    ranked = sorted(candidates, key=lambda other: (not _same_build(one, other), other.base.frozen != one.base.frozen))
    return ranked[0] if ranked else None


def _same_build(one: Tuned, other: Tuned) -> bool:
    return one.base.architecture == other.base.architecture


def against_random_table(group: Group, pairs: Sequence[Pair], number: int) -> Table:
    """Tabulate bases against their controls; every figure of a row is over the same seeds."""
    measure = group.measures[0]
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        first, second = pair.base.cells, pair.control.cells
        rows.append(
            {
                "base": pair.base.base.name,
                "weights": pair.base.base.weights,
                **pair.base.recipe_settings,
                "seeds": pair.seeds,
                "head start": difference(first, second, "zero_shot", measure),
                "gain": interval_of(gains(first, measure)),
                "gain of random": interval_of(gains(second, measure)),
                "interaction": interaction(first, second, measure),
                "lead at the end": difference(first, second, "dense", measure),
                "control": "same architecture" if pair.same_build else pair.control.base.words,
            }
        )
    return Table(
        f"interaction-{number}",
        f"Against random weights under the same recipe, in {measure_words(measure)}: {group.title}",
        rows,
        "All figures of a row are over the seeds that both have. Interaction: the gain of the base minus the gain of random "
        "weights (difference of differences); below 0, fine-tuning adds less to what knows more already.",
    )


def against_random(group: Group, pair: Pair) -> Finding:
    """Say what fine-tuning adds to a base and to random weights, on the same seeds."""
    measure = group.measures[0]
    gain = interval_of(gains(pair.control.cells, measure))
    reached = interval_words(pair.control.configuration.interval(measure))
    build = "of the same architecture" if pair.same_build else f"of another architecture ({pair.control.base.name})"
    below = f" ({said})" if (said := below_start_words(pair.control.cells)) else ""
    found = interaction(pair.base.cells, pair.control.cells, measure)
    sentence = (
        f"{group.title}: {added(group, pair.base)}. Control: the same steps from random weights {build} add {signed(gain)} "
        f"and reach {reached}{below}. {_compared(found)}{_left_out(pair)}"
    )
    return Finding(sentence, strength(found))


def _compared(found: Interval | None) -> str:
    if found is None or not told(found):
        words = f" (difference of differences {signed(found)})" if found else ""
        return f"The two gains cannot be told apart{words}."
    more = "more" if found.mean > 0 else "less"
    return f"Fine-tuning adds {more} to these weights than to random ones: difference of differences {signed(found)}."


def _left_out(pair: Pair) -> str:
    """Say what the figures leave out: seeds that one of both has alone."""
    if not pair.unmatched:
        return ""
    both = "the one seed" if pair.seeds == 1 else f"the {pair.seeds} seeds"
    others = f"{counted(pair.unmatched, 'other')} {'is' if pair.unmatched == 1 else 'are'} left out"
    return f" All of this is over {both} that both have; {others}."
