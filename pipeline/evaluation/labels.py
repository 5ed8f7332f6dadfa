"""Words beside the dots of a plot, where they cover neither dots nor each other nor the axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

DISTANCES = (9.0, 18.0, 30.0, 45.0, 65.0, 90.0)
"""From dot to word, in points; the nearest that is free is taken."""

SIDES = (
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
    (0.7, 0.7, "left", "bottom"),
    (-0.7, 0.7, "right", "bottom"),
    (0.7, -0.7, "left", "top"),
    (-0.7, -0.7, "right", "top"),
)
"""Directions from a dot, and how the word is anchored there, in the order of preference."""

DOT = 6.0
"""Room that a dot takes on each side, in points."""


@dataclass(frozen=True)
class Label:
    """A word for a dot.

    Attributes:
        dot: (x, y), in the units of the data.
        word: What is written.
        colour: Of the word.
        size: Of the word, in points.
    """

    dot: tuple[float, float]
    word: str
    colour: str
    size: float


def label_dots(axes: Axes, labels: Sequence[Label], others: Sequence[tuple[float, float]] = ()) -> list[Annotation]:
    """Write a word beside each dot; a thin line leads to one that had to go farther away.

    Args:
        axes: Where the dots are, with its final limits and place.
        labels: The words; the first have the first choice.
        others: Dots without a word, which no word may cover either.

    Returns:
        The words as they are placed.
    """
    room = DOT * axes.figure.dpi / 72
    centres = [axes.transData.transform(dot) for dot in (*(label.dot for label in labels), *others)]
    taken = [Bbox.from_extents(*(centre - room), *(centre + room)) for centre in centres]
    placed = []
    for label in labels:
        placed.append(_place(axes, label, taken))
        taken.append(words_extent(placed[-1]))
    return placed


def words_extent(word: Annotation) -> Bbox:
    """Measure a word, in pixels; the line that leads to it is left out."""
    word.get_window_extent()  # puts it in its place
    return Text.get_window_extent(word)


def _place(axes: Axes, label: Label, taken: list[Bbox]) -> Annotation:
    """Write one word at the nearest free place, or right beside its dot where none is free."""
    for distance, (x, y, *anchors) in product(DISTANCES, SIDES):
        word = _write(axes, label, (x * distance, y * distance), anchors, led=distance > DISTANCES[0])
        if _is_free(words_extent(word), axes, taken):
            return word
        word.remove()
    return _write(axes, label, (DISTANCES[0], 0), ["left", "center"], led=False)


def _write(axes: Axes, label: Label, away: tuple[float, float], anchors: Sequence[str], led: bool) -> Annotation:
    line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
    return axes.annotate(
        label.word,
        label.dot,
        away,
        textcoords="offset points",
        ha=anchors[0],
        va=anchors[1],
        color=label.colour,
        size=label.size,
        parse_math=False,
        arrowprops=line if led else None,
    )


def _is_free(word: Bbox, axes: Axes, taken: list[Bbox]) -> bool:
    inside = axes.get_window_extent()
    within = inside.x0 < word.x0 and word.x1 < inside.x1 and inside.y0 < word.y0 and word.y1 < inside.y1
    return within and not any(word.overlaps(box) for box in taken)
