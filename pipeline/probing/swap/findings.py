"""Which layers carry the gain, in words and in the rows that are seen first."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.evaluation.measures import Judgements
from pipeline.evaluation.statistics import SIGNIFICANT, Interval
from pipeline.probing.outcome import Row
from pipeline.probing.swap.shares import Exchange, Measured
from pipeline.probing.swap.texts import Search

ENOUGH = 0.9
"""Of the gain: what counts as having kept it."""


def summary(exchange: Exchange) -> list[Row]:
    """Lay out both models and the tuned one with each unit alone taken from the base."""
    between = [exchange.of("between", name) for name in exchange.measures]
    rows: list[Row] = [
        _row(exchange.base, [one[0] for one in between]),
        _row(exchange.tuned, [one[-1] for one in between]),
    ]
    alone = [exchange.of("alone", name) for name in exchange.measures]
    for ones in zip(*alone, strict=True):
        row = _row(f"{exchange.tuned}, {exchange.unit(ones[0])} of {exchange.base}", ones)
        share = ones[0].share
        rows.append({**row, "gain lost": _percent(share) if share else None})
    return rows


def findings(exchanges: Sequence[Exchange], search: Search, documents: int) -> list[str]:
    """Say what was found.

    Args:
        exchanges: One for each model beside the base.
        search: What was searched.
        documents: How many documents the split has.
    """
    said = [_searched(search, documents)]
    for exchange in exchanges:
        said += _of(exchange)
    return said


def _searched(search: Search, documents: int) -> str:
    """Say how much was searched, and what follows."""
    here, asked = len(search.documents), len(search.queries)
    if here == documents:
        return f"{asked:,} queries searched all {documents:,} documents, exactly."
    judged = _judged(search.judgements)
    return (
        f"{asked:,} queries searched {here:,} of {documents:,} documents, exactly: the {judged:,} judged for them and a"
        " sample of others; figures are higher than over all documents."
    )


def _judged(judgements: Judgements) -> int:
    return len({document for grades in judgements.values() for document in grades})


def _of(exchange: Exchange) -> Iterator[str]:
    """Say what the exchanges between two models show."""
    measure, gain = exchange.measures[0], exchange.gain[exchange.measures[0]]
    base, tuned = exchange.ends()
    ends = f"{measure} goes from {base:.4f} ({exchange.base}) to {tuned:.4f} ({exchange.tuned})"
    if gain.low > 0:
        yield f"{ends}, a gain of {gain}."
    elif gain.high < 0:
        loss = Interval(-gain.mean, -gain.high, -gain.low)
        yield f"{ends}, a loss of {loss}; so there is no gain that layers could have a share of."
    else:
        yield f"{ends}, a change of {gain}, which is not told apart from 0; so no share of a gain is given to layers."
    yield _alone(exchange)
    if gain.low > 0:
        yield _cumulative(exchange)
    yield _between(exchange)


def _alone(exchange: Exchange) -> str:
    """Name the units that lose something when they alone come from the base, the one that loses most first."""
    lossy = [one for one in exchange.of("alone") if one.lost.mean > 0 and _certain(one)]
    gaining = [one for one in exchange.of("alone") if one.lost.mean < 0 and _certain(one)]
    lossy.sort(key=lambda one: -one.lost.mean)
    better = f"; better with the base's {_names(exchange, gaining)}" if gaining else ""
    if not lossy:
        return (
            f"No unit of {exchange.tuned} is shown to be missed by itself: with any one taken from {exchange.base},"
            f" {exchange.measures[0]} is not shown to fall (Fisher's test, Holm-corrected over"
            f" {len(exchange.of('alone'))} units){better}."
        )
    losses = ", ".join(f"{_loss(one)} without {exchange.unit(one)}" for one in lossy)
    return (
        f"Of the {len(exchange.of('alone'))} units of {exchange.tuned}, taken from {exchange.base} one at a time,"
        f" {len(lossy)} can be told to be missed (Fisher's test, Holm-corrected, p ≤ {SIGNIFICANT}): {exchange.measures[0]} falls"
        f" by {losses}{better}."
    )


def _loss(one: Measured) -> str:
    return f"{one.lost}{f' = {_percent(one.share)} of the gain' if one.share else ''}"


def _percent(share: Interval) -> str:
    """Write a share with its interval, never as minus nothing."""
    mean, low, high = (f"{round(value, 2) + 0.0:.0%}" for value in (share.mean, share.low, share.high))
    return f"{mean} [{low}, {high}]"


def _certain(one: Measured) -> bool:
    return one.corrected is not None and one.corrected <= SIGNIFICANT


def _names(exchange: Exchange, ones: Sequence[Measured]) -> str:
    return " or ".join(exchange.unit(one) for one in ones)


def _cumulative(exchange: Exchange) -> str:
    """Say how far layers can be taken from the base, from either end, before more than a tenth of the gain is lost."""
    below, above = exchange.of("from below"), exchange.of("from above")[::-1]
    parts = []
    for ones, side in ((below, "from below"), (above, "from above")):
        kept: list[Any] = []
        for one in ones:
            if one.share is None or 1 - one.share.mean < ENOUGH:
                break
            kept.append(one)
        if kept:
            share = 1 - kept[-1].share.mean
            parts.append(
                f"{side}, up to {exchange.unit(kept[-1])} can come from {exchange.base} ({share:.0%} of the gain stays)"
            )
        else:
            parts.append(f"{side}, not even {exchange.unit(ones[0])} can")
    return f"With at least {ENOUGH:.0%} of the gain kept: {'; '.join(parts)}."


def _between(exchange: Exchange) -> str:
    """Say what lies between the two: better than both, worse than both, or on the way."""
    ones = exchange.of("between")
    inner, measure = ones[1:-1], exchange.measures[0]
    best = max(inner, key=lambda one: one.mean)
    said = f"Between the weights, {measure} is best {_at(best)} ({best.mean:.4f})"
    if best.lost.high < 0:
        said += f", above {exchange.tuned} by {-best.lost.mean:.4f} (chosen on these very queries)"
    ends = (ones[0], ones[-1])
    below = [one for one in inner if one.gained.high < 0 and one.lost.low > 0]
    if below:
        worst = min(below, key=lambda one: one.mean)
        return (
            f"{said}; {_at(worst)} it falls below both ends ({worst.mean:.4f} against {min(e.mean for e in ends):.4f})."
        )
    return f"{said}; nowhere is it shown to fall below both ends."


def _at(one: Measured) -> str:
    return f"at {one.variant.tuned_share[0]:.0%} tuned"


def _row(system: str, ones: Sequence[Measured]) -> dict[str, Any]:
    return {"system": system, **{one.measure: one.mean for one in ones}}
