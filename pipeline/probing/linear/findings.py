"""What the linear probe found, in words."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.evaluation.statistics import LEVEL, Interval, bootstrap_together
from pipeline.probing.linear.families import FAMILIES
from pipeline.probing.linear.pieces import Material
from pipeline.probing.linear.results import Results, best_layer
from pipeline.probing.outcome import Row

BLIND = 0.02
"""What a probe may at most lose with the questions of other rows, in accuracy, to be called blind to them."""


def findings_of(results: Results, rows: Sequence[Row], material: Material, departures: Sequence[str]) -> list[str]:
    """Write sentences, each with its interval or its test; what was not found out is said too.

    Args:
        results: What was measured.
        rows: The same as `rows_of` lays it out.
        material: The rows that were probed.
        departures: What is not as the first paper has it, where its procedure was asked for.
    """
    most = max(results.design.candidates)
    largest = [row for row in rows if row["candidates"] == most]
    return [
        _setting(results, material, most),
        *_as_published(results, material, rows, departures),
        *_dropped(material),
        *_reached(results, largest),
        *_control_task(largest),
        *_differences(results, rows),
        *_use_of_question(results, most),
        *_codes(results, largest),
        *_not_converged(results, rows),
    ]


def _setting(results: Results, material: Material, most: int) -> str:
    sizes = (
        f"{len(material.training):,} rows trained, {len(material.validation):,} validated and"
        f" {len(material.test):,} tested the probes"
    )
    if results.protocol == "sound":
        return f"{sizes}, no question on two sides; sentences are about N = {most}, layers.csv has the others."
    return (
        f"{sizes} by the first paper's procedure: every epoch draws places and negatives anew, in training and in"
        " validation, from all of a row's negatives; rows are taken as independent."
    )


def _as_published(
    results: Results, material: Material, rows: Sequence[Row], departures: Sequence[str]
) -> Iterator[str]:
    """Say where the first paper's procedure is not followed, and what it leaves open: whether training was long enough."""
    if results.protocol == "sound":
        return
    if material.divided:
        departures = [*departures, "no train split to learn from, so that the split was divided by question (division)"]
    if departures:
        yield f"NOT AS PUBLISHED: {'; '.join(departures)}."
    recipe = results.design.recipe
    steps = recipe.epochs * -(-len(material.training) // recipe.batch_size)
    falling = sum(row["converged"] < 1 for row in rows)
    verdict = "NOT CONVERGED" if falling else "by the training loss all converged"
    yield (
        f"{steps:,} optimiser steps in at most {recipe.epochs} epochs trained every probe; {verdict}:"
        f" the training loss of {falling:,} of {len(rows):,} still fell in the second half of the epochs"
        " (column converged)."
    )


def _dropped(material: Material) -> Iterator[str]:
    """Say which rows had too few negatives."""
    splits = [material.tested] if material.divided else [material.learning, material.tested]
    for rows in splits:
        if rows.dropped:
            count = "1 row was" if rows.dropped == 1 else f"{rows.dropped:,} rows were"
            yield f"{count} left out for want of negatives, the first for query {rows.first_dropped}."


def _reached(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    """Say what every kind of probe reaches, beside its controls."""
    for model, probe in results.arrays:
        best = best_layer([row for row in rows if (row["model"], row["probe"]) == (model, probe)])
        said = (
            f"{probe} reads {_interval(best, 'accuracy')} from layer {best['layer']} of {model}, its best on validation"
        )
        said += f" (chance {best['chance']:.3f}, majority class {best['majority_class']:.3f}"
        if "selectivity" in best:
            said += f", random labels {best['random_labels']:.3f}: selectivity {best['selectivity']:.3f}"
        yield f"{said})."


def _control_task(rows: Sequence[Row]) -> Iterator[str]:
    """Say what the control task can show at all."""
    if "documents_seen" in rows[0]:
        yield (
            f"Random labels can only be learned by heart, and of {rows[0]['documents_seen']:.1%} of the test rows all"
            " candidates were seen in training (column documents_seen); where documents are new, the control is at"
            " chance for any probe, and selectivity is no more than accuracy above chance."
        )


def _differences(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    """Say at which layers a model differs from the first."""
    most, first = max(results.design.candidates), results.models[0]
    for model, probe in results.arrays:
        own = [row for row in rows if (row["model"], row["probe"]) == (model, probe) and "difference" in row]
        largest = [row for row in own if row["candidates"] == most]
        if not largest:
            continue
        found = [row for row in largest if differs(row, results)]
        top = max(found or largest, key=lambda row: abs(row["difference"]))
        test = "McNemar, Holm over layers" if results.protocol == "sound" else "t-test, Bonferroni over layers"
        detail = f"at layer {top['layer']} by {_interval(top, 'difference', signed=True)}, p = {_p(top['p_corrected'])} ({test})"
        others = _other_counts(own, results)
        if found:
            layers = _by_direction(found, first)
            yield f"{probe}: {model} {layers}; most {detail}{others}."
        else:
            yield f"{probe}: {model} differs from {first} at no layer; most, but not surely, {detail}{others}."


def differs(row: Row, results: Results) -> bool:
    """Whether the corrected test says so, and, but for the first paper's protocol, the interval by question too."""
    if "difference" not in row or row["p_corrected"] > 1 - LEVEL:
        return False
    interval = Interval(row["difference"], row["difference_low"], row["difference_high"])
    return results.protocol == "published" or interval.excludes_zero


def _by_direction(rows: Sequence[Row], first: str) -> str:
    parts = []
    for words, sign in (("is above", 1), ("is below", -1)):
        layers = [str(row["layer"]) for row in rows if row["difference"] * sign > 0]
        if layers:
            parts.append(f"{words} {first} at layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}")
    return " and ".join(parts)


def _other_counts(rows: Sequence[Row], results: Results) -> str:
    """Say at how many layers the other N agree."""
    others = [n for n in results.design.candidates if n != max(results.design.candidates)]
    counts = [sum(differs(row, results) for row in rows if row["candidates"] == n) for n in others]
    said = ", ".join(f"{count} with N = {n}" for n, count in zip(others, counts, strict=True))
    return f"; layers that differ with fewer candidates: {said}" if said else ""


def _use_of_question(results: Results, most: int) -> Iterator[str]:
    """Say of each model whether a kind of probe does worse with the questions of other rows, on the mean of its layers."""
    place, questions = results.design.candidates.index(most), len(np.unique(results.questions))
    for key in results.arrays:
        model, probe = key
        lost = (results.mean_right(key) - results.mean_right(key, "shuffled"))[:, place].mean(axis=0)
        interval = bootstrap_together(lost[:, None], results.questions)[0]
        verdict = use_of_question(interval, questions, FAMILIES[probe].sees_question)
        yield (
            f"{probe} on {model} {verdict}; with the questions of other rows it loses {_shown(interval)} in accuracy,"
            " on the mean of its layers (by layer: column use_of_question)."
        )


def use_of_question(interval: Interval, questions: int, can: bool) -> str:
    """Say what may be concluded from what a probe loses with the questions of other rows.

    Args:
        interval: Of the accuracy that it loses.
        questions: How many were tested: none among few is no proof, 3 / questions is what may have been missed.
        can: Whether the kind of probe can compare a candidate with the question.
    """
    reads = "it can only read how much a document looks like an answer to anything"
    if not can:
        return f"is blind to the question by construction: {reads}"
    if interval.low > 0:
        return "uses the question"
    if max(abs(interval.low), abs(interval.high), 3 / questions) < BLIND:
        return f"is blind to the question: {reads}"
    return "is not shown to use the question"


def _codes(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    """Compare code lengths at each model's best layer."""
    for probe in dict.fromkeys(probe for _, probe in results.arrays):
        said = []
        for model in results.models:
            own = [row for row in rows if (row["model"], row["probe"]) == (model, probe)]
            if not own or "code_bits" not in own[0]:
                return
            shortest = min(own, key=lambda row: row["code_bits"])
            said.append(
                f"{model} {shortest['code_bits'] / results.sent:.3f} (layer {shortest['layer']},"
                f" compression {shortest['compression']:.2f})"
            )
        uniform = np.log2(max(results.design.candidates))
        yield f"{probe}, online code in bits a row, at the layer where it is shortest: {', '.join(said)}; by chance {uniform:.3f}."


def _not_converged(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    """Name the probes that the budget was too small for; the order of some is theirs without training."""
    if results.design.recipe.patience is None:
        return
    trained = [row for row in rows if FAMILIES[row["probe"]].order_is_learned]
    late = [row for row in trained if row["converged"] < 1]
    if late:
        named = [
            f"{row['probe']} N = {row['candidates']} on layer {row['layer']} of {row['model']}" for row in late[:3]
        ]
        more = f" and {len(late) - 3:,} others" if len(late) > 3 else ""
        yield (
            f"NOT CONVERGED: {len(late):,} of {len(trained):,} probes were still getting better when their epochs"
            f" ended: {'; '.join(named)}{more} (column converged); raise probe.epochs."
        )
    controls = sum(not row.get("controls_converged", True) for row in rows)
    if controls:
        yield (
            f"NOT CONVERGED: of {controls:,} of {len(rows):,} probes the control task or the code was still getting"
            " better when its epochs ended (column controls_converged)."
        )


def _interval(row: Row, name: str, signed: bool = False) -> str:
    return _shown(Interval(row[name], row[f"{name}_low"], row[f"{name}_high"]), signed)


def _shown(interval: Interval, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _p(value: float) -> str:
    return f"{value:.1g}" if value < 0.001 else f"{value:.3f}"
