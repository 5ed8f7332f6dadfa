"""The picture of quality against latency: readable whatever is in it, and a published grid only where it fits."""

import pytest
from matplotlib.figure import Figure

from pipeline.evaluation.labels import DOT, Label, label_dots, words_extent
from pipeline.evaluation.latency import BATCH_SIZES, BatchLatency, Latencies, ModelLatency
from pipeline.evaluation.latency_plot import LONGEST_NAME, plot_quality_latency
from pipeline.evaluation.published_grid import published_grid, scaled_grid


def tower(milliseconds: float) -> dict[int, BatchLatency]:
    return {size: BatchLatency.of([0.001], [milliseconds * size / 1000]) for size in BATCH_SIZES}


def drawn(tmp_path, models: dict[str, ModelLatency], measure: str) -> str:
    quality = {name: 0.4 + place / 100 for place, name in enumerate(models)} | {"bm25": 0.3}
    plot_quality_latency(Latencies(models, 2, "cpu", "float32"), quality, measure, tmp_path / "plot")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    return (tmp_path / "plot.svg").read_text()


@pytest.fixture
def models() -> dict[str, ModelLatency]:
    full, large = tower(2.0), tower(2.1)
    return {
        "full": ModelLatency("full", full, full),
        "large": ModelLatency("large", large, large),
        "light": ModelLatency("light", tower(0.01), full),
    }


def test_every_model_is_named_and_the_grid_lies_on_the_best_symmetric_one(tmp_path, models):
    drawing = drawn(tmp_path, models, "ndcg@10")
    for words in ("ndcg@10 against query latency", "2 threads, cpu, float32", "full", "light", "0 layers"):
        assert words in drawing
    assert "scaled: their 12 × 768 lies on large" in drawing


@pytest.mark.parametrize(("measure", "names"), [("mrr@10", ("full", "light")), ("ndcg@10", ("light",))])
def test_the_grid_is_left_out_where_it_does_not_fit(tmp_path, models, measure, names):
    drawing = drawn(tmp_path, {name: models[name] for name in names}, measure)
    assert "scaled" not in drawing
    assert "0 layers" not in drawing
    assert "light" in drawing


def test_names_longer_than_the_picture_lose_their_middle(tmp_path):
    one = tower(1.0)
    name = "begins_$like_this_" + "x" * 200 + "_and_ends_like_this"
    drawing = drawn(tmp_path, {"dense": ModelLatency(name, one, one)}, "ndcg@10")
    assert f"{name[: LONGEST_NAME // 2 - 1]}…{name[-LONGEST_NAME // 2 :]}" in drawing
    assert name not in drawing


def test_the_published_grid_is_scaled_from_its_largest():
    grid = published_grid()
    assert len(grid) == 25
    assert (grid[0].layers, grid[0].ndcg) == (0, 0.37)
    assert grid[0].milliseconds == pytest.approx(13 / 256)
    scaled = scaled_grid(0.5, 2.0)
    assert (scaled[-1].layers, scaled[-1].width) == (12, 768)
    assert (scaled[-1].ndcg, scaled[-1].milliseconds) == pytest.approx((0.5, 2.0))
    assert scaled[0].ndcg == pytest.approx(0.37 / 0.39 * 0.5)
    assert scaled[0].milliseconds == pytest.approx(0.013 / 3.1 * 2.0)


def test_words_cover_neither_dots_nor_each_other_nor_the_axes():
    axes = Figure(figsize=(6, 4)).add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    dots = [(0.5, 0.5), (0.51, 0.5), (0.52, 0.52), (0.99, 0.5), (0.01, 0.99), (0.5, 0.01)]
    words = label_dots(axes, [Label(dot, f"a model, number {dot[0]}", "black", 9) for dot in dots], [(0.6, 0.5)])
    extents = [words_extent(word) for word in words]
    room = DOT * axes.figure.dpi / 72
    inside = axes.get_window_extent()
    for place, extent in enumerate(extents):
        assert not any(extent.overlaps(other) for other in extents[place + 1 :])
        assert inside.x0 < extent.x0 and extent.x1 < inside.x1 and inside.y0 < extent.y0 and extent.y1 < inside.y1
        for dot in [*dots, (0.6, 0.5)]:
            x, y = axes.transData.transform(dot)
            assert not (extent.x0 - room < x < extent.x1 + room and extent.y0 - room < y < extent.y1 + room)
