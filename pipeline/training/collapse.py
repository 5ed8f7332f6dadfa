"""Whether a tower has collapsed: every text gets nearly the same vector, or all vectors lie in a few directions."""

from typing import Any

COSINE = 0.98
"""Vectors whose mean pairwise cosine is above this say next to nothing about their texts."""
RANK = 5.0
"""So few effective directions cannot tell documents apart."""


def collapsed_towers(row: dict[str, float]) -> dict[str, str]:
    """Say which towers have collapsed, and by which figure, from the row of a validation."""
    found = {}
    for side in ("query", "document"):
        if f"{side}/mean_cosine" not in row:
            continue
        cosine, rank = row[f"{side}/mean_cosine"], row[f"{side}/effective_rank"]
        if cosine > COSINE:
            found[side] = f"the mean cosine of its vectors is {cosine:.3f}"
        elif rank < RANK:
            found[side] = f"its vectors spread over {rank:.1f} directions"
    return found


def collapse_summary(validations: list[dict[str, float]]) -> dict[str, Any]:
    """Say whether a training ended collapsed, and since which validation.

    Returns:
        `collapsed_steps`, of all validations that found a tower collapsed; `collapsed`, whether the last one did; where
        true also `collapsed_at`, the step of the first of the last validations that all were, and `collapsed_towers`
        with the figures that say so.
    """
    found = {"collapsed_steps": [int(row["step"]) for row in validations if collapsed_towers(row)]}
    since = None
    for row in reversed(validations):
        if not collapsed_towers(row):
            break
        since = row
    if since is None:
        return {**found, "collapsed": False}
    return {
        **found,
        "collapsed": True,
        "collapsed_at": int(since["step"]),
        "collapsed_towers": collapsed_towers(validations[-1]),
    }


def collapse_sentence(row: dict[str, float]) -> str | None:
    """Say in plain words what has happened to which tower; None where nothing has."""
    found = collapsed_towers(row)
    if not found:
        return None
    towers = " and ".join(f"the {side} tower ({why})" for side, why in found.items())
    return f"Collapsed at step {int(row['step'])}: {towers}. Texts can no longer be told apart."
