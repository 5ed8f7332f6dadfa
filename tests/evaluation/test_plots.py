"""Pictures hold what they should, whatever the texts."""

import struct

import numpy as np
import pytest

from pipeline.evaluation.plots import TEXTS_SHOWN, plot_per_query

NAMES = ("zero_shot", "dense")


def test_the_per_query_plot_shows_counts_and_the_texts_that_moved_most(tmp_path):
    before = np.array([0.0, 0.5, 0.5, 1.0])
    after = np.array([1.0, 0.5, 0.75, 0.25])
    texts = ["gained a lot", "stayed here", "gained a little", "lost something"]
    plot_per_query(before, after, texts, NAMES, "ndcg@10", tmp_path / "per_query")
    drawing = (tmp_path / "per_query.svg").read_text()
    for words in (
        "From zero_shot to dense: ndcg@10 0.500 → 0.625",
        "2 gained (50%)",
        "1 lost (25%)",
        "1 stayed the same, of 4",
    ):
        assert words in drawing
    for text in ("gained a lot", "gained a little", "lost something"):
        assert text in drawing
    assert "stayed here" not in drawing


def test_pictures_are_large_enough_to_read_and_repeat_themselves(tmp_path):
    for name in ("one", "two"):
        plot_per_query(np.zeros(3), np.ones(3), ["a", "b", "c"], NAMES, "map", tmp_path / name)
    png = (tmp_path / "one.png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (1950, 1140)
    for ending in ("png", "svg"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_texts_with_dollars_line_breaks_and_any_script_are_drawn(tmp_path):
    texts = ["What is $HOME in $PATH?", "two\nlines\tof text", "日本語の質問", "x" * 1000, "a very long text " * 50]
    plot_per_query(np.zeros(5), np.linspace(0.1, 1, 5), texts, NAMES, "map", tmp_path / "odd")
    drawing = (tmp_path / "odd.svg").read_text()
    assert "What is $HOME in $PATH?" in drawing
    assert "two lines of text" in drawing


@pytest.mark.parametrize("change", [0.0, 1.0, -1.0])
def test_one_sided_changes_are_drawn(tmp_path, change):
    count = 2 * TEXTS_SHOWN
    plot_per_query(
        np.full(count, 0.5), np.full(count, 0.5 + change / 2), ["text"] * count, NAMES, "map", tmp_path / "all"
    )
    assert (tmp_path / "all.svg").read_text().count("<!-- none -->") == (2 if change == 0 else 1)
