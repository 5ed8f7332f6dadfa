"""Attributions in sentences: what was done, what changed, and how far the integral can be trusted."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.evaluation.statistics import Interval
from pipeline.probing.attribution.activity import Activity
from pipeline.probing.attribution.method import MAX_LENGTH
from pipeline.probing.attribution.results import PLURAL, Changed, Results
from pipeline.probing.attribution.tables import completeness, incomplete, share, spoken, together

WIDE_GAP = 0.1
"""From here on the completeness gap of all differences together is warned of."""
NAMED = 5
"""So many incomplete attributions get a sentence each."""


def findings(results: Results, departures: Sequence[str] = ()) -> list[str]:
    """Say what changed, whether it holds at other thresholds, and how far the integral can be trusted.

    Args:
        results: What was found.
        departures: What about the texts is not as published.
    """
    exceptions = [_exceptions(results, departures)] if results.method.published else []
    found = [_changed(results, one) for one in results.changes()]
    return [_method(results), *exceptions, *found, *_gaps(results), *_incomplete(results)]


def _method(results: Results) -> str:
    """Say what was done."""
    method = results.method
    named = sorted(set(method.targets.values()))
    targets = (
        named[0] if len(named) == 1 else ", ".join(f"{name} for {model}" for model, name in method.targets.items())
    )
    described = method.quadrature.description()
    points = ", ".join([f"{described['name']}, {described['points']} points", *_ends(described)])
    lengths = sorted({activity.max_length for activity, _ in results.each()})
    of = (
        "pairs of a query and a document, each text counted once (as published)" if method.published else "unique texts"
    )
    return (
        f"Target {targets}, quadrature {points}, texts of at most {' or '.join(map(str, lengths))} tokens; a neuron is"
        f" active where its attribution is above {results.threshold:g} of the text's largest over all sub-layers; shares"
        f" are of {of}."
    )


def _ends(described: Mapping[str, object]) -> list[str]:
    """Say when an adaptive rule ends."""
    if "tolerance" not in described:
        return []
    return [f"pieces divided down to a gap of {100 * float(str(described['tolerance'])):g}%"]


def _exceptions(results: Results, departures: Sequence[str]) -> str:
    """Say where the published procedure is not followed to the letter."""
    said = ["padding is masked, where the study pooled over it too", *departures]
    short = sorted({activity.max_length for activity, _ in results.each()} - {MAX_LENGTH})
    if short:
        said.append(f"texts are cut to {short[0]} tokens, as the model reads no more (published: {MAX_LENGTH})")
    return f"Not as published to the letter: {'; '.join(said)}."


def _changed(results: Results, one: Changed) -> str:
    """Say what changed between two models in one kind of sub-layer."""
    found, base, other = one.change, one.base, one.other
    interval, texts = found.activations, PLURAL[other.kind]
    if np.isnan(interval.mean):
        return f"On {texts}, {base.model} has no active {one.name} neuron at {results.threshold:g}; nothing to compare."
    own = _sign(interval)
    said = {1.0: "activates more neurons than", -1.0: "activates fewer neurons than"}.get(
        own, "is not shown to activate more or fewer neurons than"
    )
    signs = [
        _sign(at.change.activations)
        for place in range(len(results.method.thresholds))
        for at in results.changes(place)
        if (at.other.model, at.other.kind, at.name) == (other.model, other.kind, one.name)
        and not np.isnan(at.change.activations.mean)
    ]
    return (
        f"On {other.texts} {texts}, {other.model} {said} {base.model} ({one.name}): {spoken(interval, 1)}% (95%"
        f" interval, bootstrap over texts), and {found.at_least_once:+.1f}% of those"
        f" active at least once; of a text's active neurons, {spoken(found.overlap, 3)} are shared (Jaccard),"
        f" {found.overlap_at_least_once:.3f} of those active at least once."
        f" The same is concluded at {signs.count(own)} of {len(signs)} thresholds."
        f" Completeness: {_complete(base, one.name)}; {_complete(other, one.name)}."
    )


def _sign(interval: Interval) -> float:
    """Say which way a change goes; 0 where its interval does not tell."""
    return float(np.sign(interval.mean)) if interval.excludes_zero else 0.0


def _complete(activity: Activity, name: str) -> str:
    """Say by how many points and how completely a kind of sub-layer was attributed."""
    found = completeness(activity, name)
    return (
        f"{activity.model} {found['points']:.1f} points, gap {100 * found['gap, median']:.2f}% (median; of all differences"
        f" together {100 * found['gap, together']:.2f}%)"
    )


def _gaps(results: Results) -> Iterator[str]:
    """Say how complete attributions are, and warn where they are not."""
    advice = (
        "protocol=published fixes the points" if results.method.published else "give probe.quadrature.name=adaptive"
    )
    if np.isfinite(results.method.quadrature.tolerance):
        advice = "see which below"
    for compared in results.found:
        for activity in compared.activities:
            whole, words = gap_words(activity)
            wide = f" Wide: {advice}." if whole > WIDE_GAP else ""
            above = int((activity.gap > results.tolerance).sum())
            yield (
                f"{activity.model} on {PLURAL[compared.kind]}: by {activity.points.mean():.1f} points for each text and"
                f" sub-layer (at most {activity.points.max()}), {words}; {above:,} of {activity.gap.size:,} miss more than"
                f" {share(results.tolerance)}.{wide}"
            )


def gap_words(activity: Activity) -> tuple[float, str]:
    """Say how far attributions are from P(1) - P(0); in units of P where a single difference may be near 0.

    Returns:
        The gap of all differences together, relative to them; and the words.
    """
    whole, differences = together(activity.gap, activity.difference), np.abs(activity.difference)
    off = activity.gap * differences
    return whole, (
        f"attributions add up to P(1) - P(0) but for {100 * float(np.median(activity.gap)):.2f}% (median over texts and"
        f" sub-layers), and but for {100 * whole:.2f}% of all differences together; 95% of them are off by at most"
        f" {np.quantile(off, 0.95):.2g}, where P(1) - P(0) is {differences.mean():.2g} on average"
    )


def _incomplete(results: Results) -> Iterator[str]:
    """Name, by text and layer, what the adaptive rule could not make complete."""
    rows = incomplete(results)
    for row in rows[:NAMED]:
        yield (
            f"Not complete: {row['model']}, {row['texts of']} {row['text']}, layer {row['layer']} ({row['sub-layer']}): the"
            f" gap is {100 * row['gap']:.1f}% of P(1) - P(0) = {row['P(1) - P(0)']:.2g} after {row['points']} points."
        )
    if len(rows) > NAMED:
        layers = ", ".join(str(layer) for layer in sorted({row["layer"] for row in rows}))
        yield f"Not complete either: {len(rows) - NAMED:,} more, in layers {layers}; incomplete.csv has all."
