"""Whether a tower has collapsed, or nearly: every text gets nearly the same vector, or all vectors lie in a few directions."""

from typing import Any

COSINE = 0.98
"""Vectors whose mean pairwise cosine is above this say next to nothing about their texts."""
RANK = 5.0
"""So few effective directions cannot tell documents apart."""
SHARE_OF_RANK = 0.1
"""With fewer of its own directions than this, a tower has nearly collapsed, however many there are left."""
COLLAPSED, NEARLY_COLLAPSED = "collapsed", "nearly_collapsed"

Row = dict[str, float]
Fallen = dict[str, dict[str, str]]


def fallen_towers(row: Row, start: Row) -> Fallen:
    """Say which towers have collapsed in training, which nearly, and by which figure.

    Some checkpoints have vectors that all point one way and tell texts apart all the same; what counts is that a training
    brings them to one place. So a cosine must also leave less than half of the spread there was, and a tower that has lost
    half of its spread or nine tenths of its directions has nearly collapsed, wherever it began.

    Args:
        row: A validation.
        start: The first validation of the training, before any step.

    Returns:
        From `collapsed` and `nearly_collapsed`, where there are any, to the towers' sides, to the reason.
    """
    found: Fallen = {}
    for side in ("query", "document"):
        key, rank = f"{side}/mean_cosine", f"{side}/effective_rank"
        if key not in row:
            continue
        halved = 1 - (1 - start.get(key, 0.0)) / 2
        cosine = f"the mean cosine of its vectors is {row[key]:.3f}"
        directions = f"its vectors spread over {row.get(rank, 0.0):.1f} directions"
        if row[key] > max(COSINE, halved):
            found.setdefault(COLLAPSED, {})[side] = cosine
        elif row.get(rank, RANK) < RANK:
            found.setdefault(COLLAPSED, {})[side] = directions
        elif row[key] > halved:
            found.setdefault(NEARLY_COLLAPSED, {})[side] = f"{cosine}, and was {start.get(key, 0.0):.3f}"
        elif row.get(rank, RANK) < SHARE_OF_RANK * start.get(rank, 0.0):
            found.setdefault(NEARLY_COLLAPSED, {})[side] = f"{directions}, and did over {start[rank]:.1f}"
    return found


def worst(fallen: Fallen) -> str | None:
    """Give `collapsed` where any tower has, else `nearly_collapsed` where any has; None where none has."""
    return next((level for level in (COLLAPSED, NEARLY_COLLAPSED) if level in fallen), None)


def collapse_summary(validations: list[Row], start: Row) -> dict[str, Any]:
    """Say whether a training ended collapsed, or nearly, and since which validation.

    Args:
        validations: Of a part of the training.
        start: The first validation of the whole training, before any step.

    Returns:
        For `collapsed`, and likewise for `nearly_collapsed`: `collapsed_steps`, of all validations that found a tower so;
        `collapsed`, whether the last one did; where true also `collapsed_at`, the step of the first of the last
        validations that all did, and `collapsed_towers` with the figures that say so.
    """
    found = [fallen_towers(row, start) for row in validations]
    steps = [int(row["step"]) for row in validations]
    summary: dict[str, Any] = {}
    for level in (COLLAPSED, NEARLY_COLLAPSED):
        summary[f"{level}_steps"] = [step for step, each in zip(steps, found, strict=True) if level in each]
        summary[level] = level in found[-1]
        if summary[level]:
            since = next(place for place in range(len(found)) if all(level in each for each in found[place:]))
            summary |= {f"{level}_at": steps[since], f"{level}_towers": found[-1][level]}
    return summary


def collapse_sentence(row: Row, start: Row) -> str | None:
    """Say in plain words what has happened to which tower; None where nothing has."""
    fallen = fallen_towers(row, start)
    level = worst(fallen)
    if level is None:
        return None
    towers = " and ".join(f"the {side} tower ({why})" for side, why in fallen[level].items())
    what, so = {
        COLLAPSED: ("Collapsed", "Texts can no longer be told apart."),
        NEARLY_COLLAPSED: ("Nearly collapsed", "Few texts can still be told apart."),
    }[level]
    return f"{what} at step {int(row['step'])}: {towers}. {so}"
