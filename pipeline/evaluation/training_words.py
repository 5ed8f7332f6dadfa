"""What is said of a training beside its figures: that it collapsed, or nearly, or ended below where it began."""

from typing import Any

MARKS = {
    "collapsed": "collapsed",
    "nearly_collapsed": "nearly collapsed",
    "below_start": "below its start",
}
"""What `metrics.json` may say of a training, and a system's details of the system that came out of it, in words."""


def marks_of(training: dict[str, Any]) -> dict[str, bool]:
    """Give what the row of a trained system is marked with, as details of its results.

    Args:
        training: What `metrics.json` says of a training.
    """
    return {key: True for key in MARKS if training.get(key)}


def training_lines(training: dict[str, Any]) -> list[str]:
    """Say in plain words which towers a training has collapsed and when, and by what it ended below where it began.

    Args:
        training: What `metrics.json` says of a training; a part before it counts too.
    """
    lines = []
    for part, name in ((training.get("align") or {}, "alignment"), (training, "training")):
        for key in ("collapsed", "nearly_collapsed"):
            if part.get(key):
                why = "; ".join(f"{side} tower: {figure}" for side, figure in part[f"{key}_towers"].items())
                lines.append(f"The {name} {MARKS[key]} at step {part[f'{key}_at']} ({why}).")
        if worse := below_start_words(part):
            lines.append(f"The {name} ended below the weights that it began with, on validation: {worse}.")
    return lines


def below_start_words(part: dict[str, Any]) -> str:
    """Say by which figures a part of a training ended below where it began; nothing where by none."""
    worse = part.get("below_start") or {}
    return "; ".join(f"{figure} {before:.4g}, then {after:.4g}" for figure, (before, after) in worse.items())


def collapse_words(training: dict[str, Any]) -> str:
    """Say since when a training has collapsed, or nearly, or that it had for a while; a part before it counts too."""
    for key, nearly in (("collapsed", ""), ("nearly_collapsed", "nearly, ")):
        if training.get(key):
            return f"{nearly}from step {training[f'{key}_at']}"
    for key, nearly in (("collapsed", ""), ("nearly_collapsed", "nearly, ")):
        for part, words in ((training, ""), (training.get("align") or {}, " of alignment")):
            if steps := [step for step in part.get(f"{key}_steps", []) if step]:
                return f"{nearly}at step {steps[0]}{words}, recovered"
    return "no"
