"""Whether a tower has collapsed: every text gets nearly the same vector, or all vectors lie in a few directions."""

from typing import Any

COSINE = 0.98
"""Vectors whose mean pairwise cosine is above this say next to nothing about their texts."""
RANK = 5.0
"""So few effective directions cannot tell documents apart."""

Row = dict[str, float]


def collapsed_towers(row: Row, start: Row) -> dict[str, str]:
    """Say which towers have collapsed in training, and by which figure.

    Some checkpoints have vectors that all point one way and tell texts apart all the same; what counts is that a training
    brings them to one place. So a cosine must also leave less than half of the spread there was.

    Args:
        row: A validation.
        start: The first validation of the training, before any step.
    """
    found = {}
    for side in ("query", "document"):
        key, rank = f"{side}/mean_cosine", row.get(f"{side}/effective_rank")
        if key not in row:
            continue
        limit = max(COSINE, 1 - (1 - start.get(key, 0.0)) / 2)
        if row[key] > limit:
            found[side] = f"the mean cosine of its vectors is {row[key]:.3f}"
        elif rank is not None and rank < RANK:
            found[side] = f"its vectors spread over {rank:.1f} directions"
    return found


def collapse_summary(validations: list[Row]) -> dict[str, Any]:
    """Say whether a training ended collapsed, and since which validation.

    Returns:
        `collapsed_steps`, of all validations that found a tower collapsed; `collapsed`, whether the last one did; where
        true also `collapsed_at`, the step of the first of the last validations that all were, and `collapsed_towers`
        with the figures that say so.
    """
    towers = [collapsed_towers(row, validations[0]) for row in validations]
    steps = [int(row["step"]) for row in validations]
    found = {"collapsed_steps": [step for step, ill in zip(steps, towers, strict=True) if ill]}
    if not towers[-1]:
        return {**found, "collapsed": False}
    since = next(place for place in range(len(towers)) if all(towers[place:]))
    return {**found, "collapsed": True, "collapsed_at": steps[since], "collapsed_towers": towers[-1]}


def collapse_sentence(row: Row, start: Row) -> str | None:
    """Say in plain words what has happened to which tower; None where nothing has."""
    found = collapsed_towers(row, start)
    if not found:
        return None
    towers = " and ".join(f"the {side} tower ({why})" for side, why in found.items())
    return f"Collapsed at step {int(row['step'])}: {towers}. Texts can no longer be told apart."
