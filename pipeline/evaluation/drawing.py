"""How all pictures look, and how they are written."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.files import atomic_write

GAINED, LOST, MUTED, INK = "#1b6ca8", "#c4501b", "#8a8f98", "#22262b"
"""Blue and orange: told apart by people who confuse red and green, and in print."""

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


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG and as SVG, atomically; the same picture is the same bytes.

    Args:
        figure: What was drawn, under `rc_context(STYLE)`.
        path: Where it goes, without an ending; `.png` and `.svg` are added.

    Raises:
        UserError: When the disk is full or the path may not be written.
    """
    path = Path(path)
    with warnings.catch_warnings():
        # Queries may hold characters that no installed font has; an empty box is enough said.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for ending, settings in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            picture = BytesIO()
            figure.savefig(picture, format=ending, facecolor="white", **settings)
            with atomic_write(path.with_name(f"{path.name}.{ending}"), "wb") as file:
                file.write(picture.getvalue())
