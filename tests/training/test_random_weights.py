"""Weights that were drawn at random are never taken for those of a checkpoint."""

import json

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.report import caption
from pipeline.training.fitness import unfit
from tests.cells import Cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Cells:
    return Cells(tmp_path_factory.mktemp("cells"))


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        (["backbone=minilm", "init=pretrained"], ""),
        (["backbone=minilm", "query=twin"], ""),
        (["backbone=minilm", "query=static", "query.init=token_embeddings"], ""),
        (["backbone=minilm", "init=random"], "transformer"),
        ([], "transformer"),
        (["backbone.layers=3", "init=frozen_below"], "transformer"),
        (["encoder.projection=16"], "transformer, projection"),
        (["query=twin"], "query tower: transformer; document tower: transformer"),
        (["query=first_k", "query.layers=first 1"], "query tower: transformer; document tower: transformer"),
        (
            ["backbone=minilm", "query=miniature", "query.projection=384"],
            "query tower: transformer, projection",
        ),
        (["backbone=minilm", "query=static", "query.init=random"], "query tower: token vectors"),
        (
            ["backbone=minilm", "query=shared_projection"],
            "query tower: shared projection; document tower: shared projection",
        ),
    ],
)
def test_what_was_drawn_is_known(cells, words, drawn):
    assert (
        cells.made(cells.compose(*words, "query.weights=equal" if "query=static" in words else "seed=0")).drawn == drawn
    )


def test_a_run_says_so_in_its_log_its_metrics_and_its_table(cells):
    cell = cells.made(cells.compose("stage=zero_shot"))
    cell.run()
    metrics = json.loads(cell.folder.metrics.read_text())
    said = "Random at the start, not read from a checkpoint: transformer."
    assert metrics["training"]["drawn"] == "transformer"
    assert said in caption(metrics)
    assert said in (cell.folder.path / "log.txt").read_text()


def test_pretrained_weights_that_are_none_are_refused(cells):
    for words, sentence in (
        (["init=pretrained"], "backbone=small_bert has no weights of its own"),
        (["init=pretrained", "backbone=minilm", "backbone.init=random"], "say two things"),
    ):
        with pytest.raises(UserError, match=sentence):
            cells.made(cells.compose(*words))
    assert "has no weights of its own" in unfit(cells.compose("init=pretrained"))
