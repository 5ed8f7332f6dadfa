"""What all pictures share: colours, style, and how they are written."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline.files import atomic_write

BLUE, ORANGE, MUTED, INK = "#1b6ca8", "#c4501b", "#8a8f98", "#22262b"
"""Blue and orange: told apart by people who confuse red and green, and in print."""
GRID: dict[str, Any] = {"color": "#e4e7eb", "linewidth": 0.8}
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "tandem",  # the same picture is the same file
}


@contextmanager
def picture(path: Path, size: tuple[float, float], layout: Any = None) -> Iterator[Figure]:
    """Give a figure to draw on, and write it afterwards as PNG and SVG.

    Args:
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
        size: Width and height in inches.
        layout: How matplotlib places the axes, such as `constrained`; None: they are placed by hand.

    Raises:
        UserError: When the disk is full or the folder may not be written.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout=layout)
        yield figure
        _save(figure, Path(path))


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Queries may hold characters that no installed font has; an empty box is enough said.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for ending, settings in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            picture = BytesIO()
            figure.savefig(picture, format=ending, facecolor="white", **settings)
            with atomic_write(path.with_name(f"{path.name}.{ending}"), "wb") as file:
                file.write(picture.getvalue())
