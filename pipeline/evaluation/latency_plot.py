"""The picture of what an encoder's quality costs at query time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pipeline.evaluation.drawing import BLUE, GRID, INK, MUTED, picture
from pipeline.evaluation.labels import Label, label_dots
from pipeline.evaluation.latency import BATCH_SIZES, Latencies
from pipeline.evaluation.published_grid import PublishedEncoder, scaled_grid

BATCH = BATCH_SIZES[-1]
FAINT = "#c3c8cf"
LONGEST_NAME = 32


@dataclass(frozen=True)
class Dot:
    """One model of the picture.

    Attributes:
        name: What it is called.
        milliseconds: To encode one query of a large batch, tokenisation left out.
        quality: The first measure.
        symmetric: Whether its one tower serves both sides.
    """

    name: str
    milliseconds: float
    quality: float
    symmetric: bool

    @property
    def place(self) -> tuple[float, float]:
        """(x, y)."""
        return self.milliseconds, self.quality


def plot_quality_latency(latency: Latencies, quality: Mapping[str, float], measure: str, path: Path) -> None:
    """Draw each model's quality against what encoding a query takes, perhaps beside a published grid; PNG and SVG.

    Args:
        latency: The models, by system.
        quality: The measure by system; those without a latency are left out.
        measure: The measure's name.
        path: Where the picture goes, without an ending; `.png` and `.svg` are written.
    """
    dots = [
        Dot(_short(model.name), model.query[BATCH].encoding.p50 / BATCH, quality[system], model.symmetric)
        for system, model in latency.models.items()
    ]
    anchor = grid_anchor(dots, measure)
    grid = scaled_grid(anchor.quality, anchor.milliseconds) if anchor else []
    with picture(path, (9, 6)) as figure:
        _head(figure, latency, measure, anchor)
        axes = figure.add_axes((0.09, 0.115, 0.875, 0.71 if anchor else 0.745))
        _frame(axes, [*(dot.place for dot in dots), *map(_place, grid)], measure)
        _draw_grid(axes, grid)
        axes.plot(*zip(*(dot.place for dot in dots), strict=True), "o", color=BLUE, markersize=8, zorder=3)
        labels = [Label(dot.place, dot.name, INK, 10.5) for dot in dots]
        label_dots(axes, [*labels, *_grid_labels(grid)], [_place(encoder) for encoder in grid])


def grid_anchor(dots: Sequence[Dot], measure: str) -> Dot | None:
    """Choose the model that the published largest encoder is laid on: the best symmetric one, as that one was.

    Returns:
        None where the grid does not fit: it has nDCG@10 only, and needs a symmetric model.
    """
    symmetric = [dot for dot in dots if dot.symmetric]
    return max(symmetric, key=lambda dot: dot.quality) if symmetric and measure == "ndcg@10" else None


def _place(encoder: PublishedEncoder) -> tuple[float, float]:
    return encoder.milliseconds, encoder.ndcg


def _head(figure: Figure, latency: Latencies, measure: str, anchor: Dot | None) -> None:
    figure.text(0.09, 0.94, f"{measure} against query latency", size=15, weight="bold", parse_math=False)
    threads = f"{latency.threads} thread{'s' if latency.threads > 1 else ''}"
    words = f"median of batches of {BATCH} queries, {threads}, {latency.device}, {latency.precision}"
    figure.text(0.09, 0.895, words, color=INK, parse_math=False)
    if anchor:
        words = (
            f"grey: BERT miniatures (Leonhardt et al.), layers × width, scaled: their 12 × 768 lies on {anchor.name}"
        )
        figure.text(0.09, 0.855, words, color=MUTED, parse_math=False)


def _frame(axes: Axes, places: Sequence[tuple[float, float]], measure: str) -> None:
    """Set limits with room for words around all dots, and ticks that read as plain numbers."""
    times, qualities = zip(*places, strict=True)
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 2)
    room = max(0.02, 0.15 * (max(qualities) - min(qualities)))
    axes.set_ylim(min(qualities) - room, max(qualities) + room)
    wide = max(times) / min(times) > 20
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("milliseconds a query, encoding only")
    axes.set_ylabel(measure, parse_math=False)
    axes.grid(**GRID)
    axes.set_axisbelow(True)


def _draw_grid(axes: Axes, grid: Sequence[PublishedEncoder]) -> None:
    """Draw the published encoders, the wider the larger; not joined, as two digits make no curve."""
    for encoder in grid:
        axes.plot(*_place(encoder), "o", color=FAINT, markersize=2 + encoder.width / 192, markeredgewidth=0, zorder=1)


def _grid_labels(grid: Sequence[PublishedEncoder]) -> list[Label]:
    """Name the look-up, and the shallowest encoder of the smallest and of the largest width."""
    named = {(0, 768): "0 layers", (2, 128): "2 × 128", (2, 768): "2 × 768"}
    found = [(encoder, named.get((encoder.layers, encoder.width))) for encoder in grid]
    return [Label(_place(encoder), word, MUTED, 8) for encoder, word in found if word]


def _short(name: str) -> str:
    """Leave out the middle of a name that would run out of the picture."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2 - 1]}…{name[-LONGEST_NAME // 2 :]}"
