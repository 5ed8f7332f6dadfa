"""A tower whose vectors depend on padding is named once; others are not, in any precision."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel, ConvBertConfig, ConvBertModel, LlamaConfig, LlamaModel

from pipeline.encoders.encoding import Encoder, EncodingSettings, encode
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.encoders.padding import TOLERANCE, effect_of_padding, warn_where_padding_matters
from pipeline.encoders.pooling import POOLINGS
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.transformer_tower import TransformerTower
from tests.encoders.conftest import VOCABULARY, save_tokenizer

SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
MODELS = {
    "bert": (BertModel, BertConfig(vocab_size=len(VOCABULARY), **SIZE)),
    "convbert": (ConvBertModel, ConvBertConfig(vocab_size=len(VOCABULARY), embedding_size=64, **SIZE)),
    "llama": (LlamaModel, LlamaConfig(vocab_size=len(VOCABULARY), **SIZE)),
}


@pytest.fixture
def tower_of(tmp_path):
    """Make a tower of random weights, without cutting and with dropout on, as in training."""
    save_tokenizer(tmp_path)

    def make(name: str, pooling: str = "mean", side: str = "right") -> TransformerTower:
        torch.manual_seed(0)
        made, config = MODELS[name]
        tokenizer = TextTokenizer.load(tmp_path, wanted=None, saved=None, limit=None)
        tokenizer.padding_side = side
        return TransformerTower(made(config), tokenizer, POOLINGS[pooling]()).train()

    return make


def test_convolutions_over_the_end_of_a_text_are_named_once_for_a_tower(tower_of, capsys):
    tower = tower_of("convbert")
    alone = encode(copy.deepcopy(tower), ["the wing"], "document", EncodingSettings(token_budget=1))
    padded = encode(tower, ["the wing", "the wing of a flow in heat of the wing"], "document")
    assert abs(alone[0] - padded[0]).max() > 1e-4  # which is what is warned of
    capsys.readouterr()
    fresh = tower_of("convbert")
    encode(fresh, ["the wing"], "query")
    said = capsys.readouterr().err
    assert said.startswith("warning: vectors of ConvBertModel depend on the other texts of their batch")
    assert len(said.splitlines()) == 1
    for same in (fresh, LayerwiseTower(fresh)):
        Encoder(same, EncodingSettings())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("name", "pooling"), [("bert", "mean"), ("bert", "cls"), ("llama", "last"), ("llama", "mean")])
def test_towers_that_mask_padding_are_not_named(tower_of, capsys, name, pooling, side, precision):
    for tower in (tower_of(name, pooling, side), LayerwiseTower(tower_of(name, pooling, side))):
        Encoder(tower, EncodingSettings(precision=precision))
        assert capsys.readouterr().err == ""
        assert effect_of_padding(tower) < TOLERANCE / 100
    halved = tower_of(name, pooling, side).to(torch.bfloat16)
    warn_where_padding_matters(halved)
    assert capsys.readouterr().err == ""


def test_looking_leaves_the_tower_as_it_is(tower_of):
    tower = tower_of("bert")
    tower.backbone.encoder.layer[0].eval()  # a frozen part
    modes, drawn, before = (
        [part.training for part in tower.modules()],
        torch.get_rng_state(),
        tower.fingerprint("query"),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as in training; the look is in float32
        assert effect_of_padding(tower) < TOLERANCE / 100
    assert [part.training for part in tower.modules()] == modes
    assert torch.equal(torch.get_rng_state(), drawn)
    assert (tower.fingerprint("query"), tower.truncated) == (before, 0)


def test_a_tower_that_pads_nothing_is_not_looked_at(tower_of, monkeypatch):
    monkeypatch.setattr("pipeline.encoders.padding.effect_of_padding", lambda tower: pytest.fail("looked"))
    size = len(VOCABULARY)
    Encoder(StaticTower(torch.rand(size, 4), torch.ones(size), tower_of("bert").tokenizer), EncodingSettings())
