"""Attributions in sentences: what was done, what changed, and how far the integral can be trusted."""

from collections.abc import Iterator

import numpy as np

from pipeline.evaluation.statistics import Interval
from pipeline.probing.attribution.activity import Activity
from pipeline.probing.attribution.results import PLURAL, Changed, Results
from pipeline.probing.attribution.tables import spoken

WIDE_GAP = 0.1
"""From here on the completeness gap of all differences together is warned of."""


def findings(results: Results) -> list[str]:
    """Say what changed, whether it holds at other thresholds, and how far the integral can be trusted."""
    exceptions = [_exceptions(results)] if results.published else []
    found = [_changed(results, one) for one in results.changes()]
    return [_method(results), *exceptions, *found, *_gaps(results)]


def _method(results: Results) -> str:
    """Say what was done."""
    quadrature = results.method.quadrature.description()
    points = f"{quadrature['name']}, {quadrature['points']} points"
    whole = "pairs of a query and a document, each text counted once (as published)"
    of = whole if results.published else "unique texts"
    return (
        f"Target {results.method.target}, quadrature {points}; a neuron is active where its attribution is above"
        f" {results.threshold:g} of the text's largest over all sub-layers; shares are of {of}."
    )


def _exceptions(results: Results) -> str:
    """Say where the published procedure is not followed to the letter."""
    return (
        "Not as published to the letter: P is the norm of the pooled states for every model, where the study took that of"
        f" BERT's tanh pooler for BERT; the threshold is probe.threshold={results.threshold:g} (published: 0.1, for the Llama"
        f" pair 0.01); texts are cut to probe.max_length={results.method.max_length} tokens (published: 256)."
    )


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
    )


def _sign(interval: Interval) -> float:
    """Say which way a change goes; 0 where its interval does not tell."""
    return float(np.sign(interval.mean)) if interval.excludes_zero else 0.0


def _gaps(results: Results) -> Iterator[str]:
    """Say how complete attributions are, and warn where they are not."""
    advice = (
        "protocol=published fixes the points"
        if results.published
        else "give more points, or probe.quadrature.name=adaptive"
    )
    for compared in results.found:
        for activity in compared.activities:
            whole, words = gap_words(activity)
            wide = f" Wide: {advice}." if whole > WIDE_GAP else ""
            yield f"{activity.model} on {PLURAL[compared.kind]}: {words}.{wide}"


def gap_words(activity: Activity) -> tuple[float, str]:
    """Say how far attributions are from P(1) - P(0); in units of P where a single difference may be near 0.

    Returns:
        The gap of all differences together, relative to them; and the words.
    """
    differences = np.abs(activity.difference)
    off = activity.gap * differences
    whole = float(off.sum() / max(differences.sum(), 1e-30))
    return whole, (
        f"attributions add up to P(1) - P(0) but for {100 * float(np.median(activity.gap)):.2f}% (median over texts and"
        f" sub-layers), and but for {100 * whole:.2f}% of all differences together; 95% of them are off by at most"
        f" {np.quantile(off, 0.95):.2g}, where P(1) - P(0) is {differences.mean():.2g} on average"
    )
