"""How much of the gain from a base to a tuned model each exchange of layers takes away, query by query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.significance import fisher, holm
from pipeline.evaluation.statistics import Interval, bootstrap, ratio
from pipeline.probing.kept import Arrays
from pipeline.probing.outcome import Row
from pipeline.probing.swap.variants import Variant
from pipeline.probing.units import unit_names


@dataclass(frozen=True)
class Measured:
    """One variant on one measure.

    Attributes:
        variant: Which.
        measure: Which measure.
        mean: Over the queries.
        lost: Tuned minus variant, paired by query.
        gained: Variant minus base, paired by query.
        share: `lost` as a share of tuned minus base; None where that is not shown to be a gain.
        corrected: p-value of Fisher's paired randomisation test against the tuned model, Holm-corrected over the units;
            only for units exchanged alone.
    """

    variant: Variant
    measure: str
    mean: float
    lost: Interval
    gained: Interval
    share: Interval | None
    corrected: float | None


@dataclass(frozen=True)
class Exchange:
    """All variants between two models.

    Attributes:
        base: The one's name.
        tuned: The other's.
        measured: Every variant on every measure.
        measures: Names; shares that are spoken of are of the first.
        gain: By measure, tuned minus base, paired by query.
    """

    base: str
    tuned: str
    depth: int
    measured: Sequence[Measured]
    measures: Sequence[str]
    gain: dict[str, Interval]

    def of(self, family: str, measure: str | None = None) -> list[Measured]:
        """Give the variants of one family on one measure, the first unless another is named."""
        wanted = measure or self.measures[0]
        return [one for one in self.measured if one.variant.family == family and one.measure == wanted]

    def ends(self, measure: str | None = None) -> tuple[float, float]:
        """Give the mean of the base and that of the tuned model."""
        between = self.of("between", measure)
        return between[0].mean, between[-1].mean

    def unit(self, one: Measured) -> str:
        """Name the unit of a variant."""
        return unit_names(self.depth)[one.variant.unit]

    def rows(self) -> list[Row]:
        """Lay everything out for a CSV file."""
        return [
            {
                "model": self.tuned,
                "family": one.variant.family,
                "unit": self.unit(one) if one.variant.unit >= 0 else None,
                "tuned_share": float(np.mean(one.variant.tuned_share)),
                "measure": one.measure,
                "mean": one.mean,
                **_columns("lost", one.lost),
                **_columns("gained", one.gained),
                **_columns("share_of_gain_lost", one.share),
                "corrected_p": one.corrected,
            }
            for one in self.measured
        ]


def exchange(
    base: str, tuned: str, depth: int, scores: Sequence[tuple[Variant, Arrays]], measures: Sequence[str], seed: int
) -> Exchange:
    """Compare every variant with both ends, query by query.

    Args:
        base: Name of the base.
        tuned: Name of the tuned model.
        depth: Number of layers.
        scores: For each variant, by measure, one value for each query; the interpolation's ends are the two models.
        measures: Names of the measures.
        seed: Of the bootstrap.
    """
    between = [arrays for variant, arrays in scores if variant.family == "between"]
    gain = {name: bootstrap(between[-1][name] - between[0][name], seed=seed) for name in measures}
    found = []
    for name in measures:
        first, last = between[0][name], between[-1][name]
        p_values = [fisher(arrays[name], last) for variant, arrays in scores if variant.family == "alone"]
        corrected = iter(holm(p_values))
        for variant, arrays in scores:
            lost = last - arrays[name]
            share = ratio(lost, last - first, seed=seed) if gain[name].low > 0 else None
            found.append(
                Measured(
                    variant,
                    name,
                    float(arrays[name].mean()),
                    bootstrap(lost, seed=seed),
                    bootstrap(arrays[name] - first, seed=seed),
                    share,
                    next(corrected) if variant.family == "alone" else None,
                )
            )
    return Exchange(base, tuned, depth, found, measures, gain)


def _columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    values = (interval.mean, interval.low, interval.high) if interval else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
