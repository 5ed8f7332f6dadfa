"""What the geometry of layers amounts to, in words and in the rows that are seen first."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.evaluation.statistics import Interval
from pipeline.probing.geometry.layers import Figures
from pipeline.probing.outcome import Row

ROUNDING = 1e-9
"""How far below 1 the likeness of equal states may be."""
ROUNDING_OF_STATES = 1e-6
"""Figures of states that are equal but for the rounding of float32 differ by less."""
PLURAL = {"query": "Queries", "document": "Documents"}


def summary(first: str, alike: Sequence[Row], spreads: Sequence[Row]) -> list[Row]:
    """Lay out, layer by layer, how like the base each model is and how both are spread.

    Args:
        first: The base's name.
        alike: Rows of `likeness`.
        spreads: Rows of `spread`.
    """
    spread = {(row["model"], row["texts"], row["layer"]): row for row in spreads}
    rows: list[Row] = []
    for row in alike:
        sides = {
            "base": spread[first, row["texts"], row["layer"]],
            row["model"]: spread[row["model"], row["texts"], row["facing_layer"]],
        }
        named = {
            "model": row["model"],
            "texts": row["texts"],
            "layer": row["layer"],
            "cka": row["cka"],
            "rsa": row["rsa"],
        }
        cosines = {
            f"cosine, {name}": side["mean_cosine"] for name, side in zip(("base", "tuned"), sides.values(), strict=True)
        }
        ranks = {
            f"rank, {name}": round(side["effective_rank"], 1)
            for name, side in zip(("base", "tuned"), sides.values(), strict=True)
        }
        rows.append({**named, **cosines, **ranks})
    return rows


def findings(
    first: str,
    alike: Sequence[Row],
    spreads: Sequence[Row],
    near: Sequence[Row],
    drifts: Sequence[Row],
    unlike: Mapping[str, str | None],
    figures: Figures,
) -> list[str]:
    """Say what was found.

    Args:
        first: The base's name.
        alike: Rows of `likeness`.
        spreads: Rows of `spread`.
        near: Rows of `alignments`.
        drifts: Rows of `drifts_of`.
        unlike: By model, why its weights were not compared with the base's; None where they were.
        figures: What the rows say, to be compared text by text.
    """
    said: list[str] = []
    for model, reason in unlike.items():
        for texts in dict.fromkeys(row["texts"] for row in alike):
            own = [row for row in alike if (row["model"], row["texts"]) == (model, texts)]
            said += _likeness(first, model, texts, own, figures)
            said += _spread(first, model, texts, [r for r in spreads if r["texts"] == texts], figures)
        said += _alignment(first, model, near, figures)
        if reason is not None:
            said.append(
                f"The weights of {model} are not compared with those of {first}, because they differ in {reason}; layers are"
                " compared at the same share of the depth."
            )
        towers = dict.fromkeys(row["tower"] for row in drifts if row["model"] == model)
        for tower in towers:
            said.append(_drift(first, model, [r for r in drifts if (r["model"], r["tower"]) == (model, tower)]))
    said.append(
        "Intervals are 95%, by leaving out a tenth of the texts at a time; two figures of the same texts are compared by their"
        " difference, text by text."
    )
    return said


def not_aligned(model: str, query_width: int, document_width: int) -> str:
    """Say why there is no alignment of a model whose towers differ in width."""
    return (
        f"Alignment is not measured for {model}: its query tower's states have {query_width} dimensions and its document"
        f" tower's {document_width}, so there is no distance between them."
    )


def with_interval(row: Row, name: str) -> str:
    """Write a figure of a row with its interval."""
    return f"{row[name]:.4f} [{row[f'{name}_low']:.4f}, {row[f'{name}_high']:.4f}]"


def _likeness(first: str, model: str, texts: str, rows: Sequence[Row], figures: Figures) -> Iterator[str]:
    """Name the layers that are most and least like the base's by debiased CKA, and those of which nothing can be said."""
    known = [row for row in rows if row["cka"] is not None]
    if known and min(row["cka"] for row in known) > 1 - ROUNDING:
        yield f"{PLURAL[texts]}: {model} has {first}'s geometry in every layer (CKA 1, {rows[0]['compared']:,} texts)."
    else:
        ranked = sorted((r for r in known if r["cka_debiased"] is not None), key=lambda row: -row["cka_debiased"])
        if ranked:
            texts_compared = f"{rows[0]['compared']:,} texts (RSA: {rows[0]['compared_in_pairs']:,})"
            yield f"{PLURAL[texts]}, {texts_compared}: {_ranked(first, model, ranked, figures)}"
    constant = [str(row["layer"]) for row in rows if row["cka"] is None]
    if constant:
        yield (
            f"{PLURAL[texts]}: nothing is said of the likeness of {model} and {first} in layer {', '.join(constant)},"
            " where every text has the same state: that of one special token, which has not seen the text yet."
        )


def _ranked(first: str, model: str, ranked: Sequence[Row], figures: Figures) -> str:
    """Say which layers are most and least like the base's, if they are told apart; `ranked` has the most like first."""
    most, least = ranked[0], ranked[-1]
    between = _difference(least, most, "cka_debiased", figures)
    if between.low <= ROUNDING:
        if len(ranked) == 1:
            return f"the likeness of {model} and {first} in layer {_layer(most)} is {_likenesses(most)}."
        return (
            f"which layer of {model} is most like {first} is not told apart by their debiased CKA, from"
            f" {_likenesses(most)} in layer {_layer(most)} to {_likenesses(least)} in layer {_layer(least)}, a difference of"
            f" {between}."
        )
    highest = [row for row in ranked[1:] if _difference(row, most, "cka_debiased", figures).low <= ROUNDING]
    lowest = [row for row in ranked[:-1] if _difference(least, row, "cka_debiased", figures).low <= ROUNDING]
    return (
        f"{model} is most like {first} in layer {_layer(most)} ({_likenesses(most)}{_not_apart(highest)}) and least in layer"
        f" {_layer(least)} ({_likenesses(least)}{_not_apart(lowest)})."
    )


def _difference(before: Row, after: Row, name: str, figures: Figures) -> Interval:
    """Give the difference of one figure between two rows over the same texts."""
    one, other = (figures[row["model"], row.get("texts"), row["layer"], name] for row in (before, after))
    return other.minus(one)


def _not_apart(rows: Sequence[Row]) -> str:
    """Name layers that are not told apart from the one that was named."""
    return f"; not told apart from layer {', '.join(map(_layer, rows))}" if rows else ""


def _likenesses(row: Row) -> str:
    return (
        f"debiased CKA {with_interval(row, 'cka_debiased')}, CKA {with_interval(row, 'cka')}, RSA {_known(row, 'rsa')}"
    )


def _layer(row: Row) -> str:
    """Name a layer, and the one that it was compared with where that has another number."""
    facing = row["facing_layer"]
    return str(row["layer"]) if facing == row["layer"] else f"{row['layer']} (there {facing})"


def _known(row: Row, name: str) -> str:
    return with_interval(row, name) if row[name] is not None else "undefined"


def _spread(first: str, model: str, texts: str, rows: Sequence[Row], figures: Figures) -> Iterator[str]:
    """Compare the spread of the last layers."""
    before, after = (max((r for r in rows if r["model"] == name), key=lambda r: r["layer"]) for name in (first, model))
    if before["mean_cosine"] is None or after["mean_cosine"] is None:
        return
    yield (
        f"{PLURAL[texts]}, last layer: the mean cosine of two texts {_moved(before, after, 'mean_cosine', figures)}, and uniformity"
        f" {_moved(before, after, 'uniformity', figures)}; the effective rank goes from {before['effective_rank']:.1f} to"
        f" {after['effective_rank']:.1f} ({first} to {model}, {after['sample']:,} texts)."
    )


def _alignment(first: str, model: str, near: Sequence[Row], figures: Figures) -> Iterator[str]:
    """Compare how near queries lie to what answers them in the last layers."""
    of = {name: [row for row in near if row["model"] == name] for name in (first, model)}
    if all(of.values()):
        before, after = (rows[-1] for rows in of.values())
        yield (
            "The squared distance between a query and what answers it (alignment, last layer)"
            f" {_moved(before, after, 'alignment', figures)} ({first} to {model}, {after['pairs']:,} pairs)."
        )


def _moved(before: Row, after: Row, name: str, figures: Figures) -> str:
    """Say which way a figure went, if its difference on the same texts is told apart from 0."""
    ends = f"from {with_interval(before, name)} to {with_interval(after, name)}"
    change = _difference(before, after, name, figures)
    if not change.excludes_zero or abs(change.mean) < ROUNDING_OF_STATES:
        return f"is not told apart, {ends}, a difference of {change}"
    fallen = Interval(-change.mean, -change.high, -change.low)
    return f"rises by {change} {ends}" if change.mean > 0 else f"falls by {fallen} {ends}"


def _drift(first: str, model: str, rows: Sequence[Row]) -> str:
    """Name the modules that moved most and least."""
    tower = f"the {rows[0]['tower']} tower of " if " and " not in rows[0]["tower"] else ""
    most = max(rows, key=lambda row: row["relative_change"])
    if not most["relative_change"]:
        return f"No weight of {tower}{model} differs from {first}'s."
    still = [row for row in rows if not row["relative_change"]]
    least = min(rows, key=lambda row: row["relative_change"])
    rank = (
        ""
        if most["effective_rank"] is None
        else f", effective rank {most['effective_rank']:.1f} of {most['full_rank']}"
    )
    rest = (
        f"{len(still)} of {len(rows)} groups of modules did not move"
        if still
        else f"they moved least in {least['module']} of {_place(least)} ({least['relative_change']:.2%})"
    )
    return (
        f"Weights of {tower}{model} moved most in {most['module']} of {_place(most)} (by {most['relative_change']:.2%} of"
        f" {first}'s norm{rank}); {rest}."
    )


def _place(row: Row) -> str:
    return f"the {row['unit']}" if row["unit"] == "embeddings" else str(row["unit"])
