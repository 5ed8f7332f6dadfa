"""Attribution and swap take the layers around a tower's pooling with them, and a pooling that leaves prompts out."""

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.encoders.pooling import Mean, SideBySide, WeightedMean, WithoutPrompt
from pipeline.encoders.projection import LayerNorm, Normalize, Projection
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.attribution.above import Upper
from pipeline.probing.models import ProbedModel
from pipeline.probing.swap.variants import Mixture, ends_with_weights
from tests.encoders.conftest import TEXTS, bert_folder, one_thread  # noqa: F401 - fixtures


def tower_of(folder, seed=0) -> TransformerTower:
    """A BERT with a layer before its pooling, three after it, and a prompt that only the transformer reads."""
    plain = build_tower(Local(str(folder)), Mean(), EncoderSettings(), "document", 0)
    norm = LayerNorm(24)
    torch.nn.init.normal_(norm.norm.weight, generator=torch.Generator().manual_seed(seed))
    return TransformerTower(
        plain.backbone,
        plain.tokenizer,
        WithoutPrompt(SideBySide([Mean(), Mean()])),
        [norm, Normalize(), Projection.fresh(24, 5, seed)],
        "dot",
        {"query": "query: the ", "document": ""},
        token_layers=[Projection.fresh(16, 12, seed, activation="torch.nn.modules.activation.Tanh")],
    )


def test_attribution_goes_through_every_layer(bert_folder):  # noqa: F811
    tower = tower_of(bert_folder).eval()
    ids = tower.token_ids(TEXTS, "query")
    upper = Upper(tower, torch.device("cpu"), 512)
    with torch.no_grad():
        expected = tower(tower.pad(ids))
        trace = upper.run(ids)
        rows = torch.arange(len(ids))
        through = [upper.pooled(trace, layer, "inner", upper.output(trace, layer, "inner"), rows) for layer in range(4)]
    for pooled in (trace.pooled, *through):
        np.testing.assert_allclose(upper.finish(pooled).detach(), expected, atol=1e-5)


def test_a_mixture_takes_all_layers_from_one_model_or_the_other(bert_folder):  # noqa: F811
    towers = [tower_of(bert_folder, seed) for seed in (0, 1)]
    base, tuned = (ProbedModel(str(place), DualEncoder(tower, tower)) for place, tower in enumerate(towers))
    mixture = Mixture(base, tuned)
    assert ends_with_weights(towers[0])
    only_end = (1.0,) * 5 + (0.0,)  # embeddings, four layers, and what comes after them
    mixed = mixture.tower("document", only_end).state_dict()
    for name, weight in towers[0].state_dict().items():
        assert torch.equal(mixed[name], weight), name
    other = mixture.tower("document", (1.0,) * 6).state_dict()
    for name, weight in towers[1].state_dict().items():
        assert torch.equal(other[name], weight), name


@pytest.mark.parametrize("pooling", [WeightedMean(), SideBySide([Mean(), WeightedMean()])], ids=lambda one: one.name)
def test_every_layer_of_a_transformer_is_pooled_as_the_last(bert_folder, pooling):  # noqa: F811
    tower = build_tower(Local(str(bert_folder)), pooling, EncoderSettings(similarity="dot"), "document", 0).eval()
    layers = LayerwiseTower(tower)
    with torch.no_grad():
        batch = tower.pad(tower.token_ids(TEXTS, "document"))
        states = layers(batch)
        expected = tower(batch)
    assert states.shape == (len(TEXTS), layers.dimension)
    np.testing.assert_allclose(states[:, -tower.dimension :], expected, atol=1e-6)
