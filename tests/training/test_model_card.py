"""The model card says what holds, whatever was set."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import BertConfig, BertModel

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder
from pipeline.encoders.pooling import Cls
from pipeline.encoders.query_towers import Selective
from pipeline.training.model_card import model_card
from tests.conftest import ROOT
from tests.encoders.conftest import BERT, make

COURSE = {"steps": 9, "kept_step": 6, "queries": 40}


def lines_of(tmp_path: Path, query, settings: EncoderSettings, training: dict, *overrides: str) -> list[str]:
    """Write the card of a small dual encoder, trained as the overrides say."""
    folder = make(tmp_path / "tiny", BertModel, BertConfig(**BERT))
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        composed = compose(
            "train",
            [f"backbone.path={folder}", "backbone=local", "dataset=jsonl", "dataset.path=x", *overrides],
            return_hydra_config=True,
        )
    choices = dict(composed.hydra.runtime.choices)
    config = {name: OmegaConf.to_container(composed[name], resolve=True) for name in ("stage", "backbone", "query")}
    texts = [Texts.from_pairs([("a", "the lift of a wing")])]
    dual_encoder = build_dual_encoder(Local(str(folder)), Cls(), query, settings, texts=texts)
    metrics = {"dataset": "pairs", "training": training}
    return model_card(config | {"seed": 3}, choices, metrics, tmp_path / "model", dual_encoder).splitlines()


def course(rate: float, query_rate: float) -> dict:
    """What a training says of itself, at a step of the warm-up where a half of its rates holds."""
    return COURSE | {
        "curves": {"loss": [{"step": 1, "learning_rate": rate / 2, "query_learning_rate": query_rate / 2}]}
    }


def test_each_setting_is_told(tmp_path):
    settings = EncoderSettings(projection=8, max_length=20, similarity="dot", title_separator=" [SEP] ")
    said = lines_of(
        tmp_path,
        Shared(),
        settings,
        course(2e-5, 2e-5),
        "backbone.layers=3",
        "backbone.revision=v2",
        "stage.weights=last",
        "stage.batch_size=64",
    )
    for line in (
        f"| base | local, path {tmp_path / 'tiny'}, layers 3, init pretrained, revision v2 |",
        "| dimension | 8 |",
        "| length | 20 tokens |",
        "| similarity | dot |",
        "| title and text | joined by ` [SEP] ` |",
        "| training | 9 steps of 64 queries out of 40, learning rate 2e-05, weights of step 6 (the last) |",
        "| seed | 3 |",
    ):
        assert line in said, said


@pytest.mark.parametrize(
    ("overrides", "rates", "told"),
    [
        (["stage=dpr"], (2e-5, 3e-3), "learning rate 2e-05, of the query tower 0.003"),
        (["stage=mse"], (5e-4, 3e-3), "learning rate 0.003"),  # the document tower is frozen
        (["stage=mse", "stage.learning_rate=1e-4"], (1e-4, 1e-4), "learning rate 0.0001"),
    ],
)
def test_the_rate_is_the_one_that_weights_were_trained_at(tmp_path, overrides, rates, told):
    said = lines_of(tmp_path, Twin(), EncoderSettings(), course(*rates), "query=static", *overrides)
    (training,) = [line for line in said if line.startswith("| training |")]
    assert f", {told}, weights of step 6 (best " in training
    assert "| query tower | static, init through_tower, weights idf |" in said


def test_what_sentence_transformers_refuses_is_not_offered_to_it(tmp_path):
    card = "\n".join(lines_of(tmp_path, Selective(0.5, "all"), EncoderSettings(), {}, "query=selective"))
    assert "SentenceTransformer(" not in card
    assert "DualEncoder.load(" in card
    assert "tandem.SelectiveTransformer" in card
