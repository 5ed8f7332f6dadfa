"""Knowledge neurons are what texts have in common; controls are others, as many and as active."""

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.pooling import pooling_named
from pipeline.probing.intervention.cases import Plan, seeds_of
from pipeline.probing.intervention.facts import Fact
from pipeline.probing.intervention.selections import at_random, knowledge_neurons, mean_activity, of_equal_activity
from tests.encoders.conftest import TEXTS, bert_folder, llama_folder  # noqa: F401


def test_neurons_that_enough_texts_share_are_kept_the_strongest_first():
    attributions = np.zeros((4, 2, 3))
    attributions[:, 0, 1] = [1, 1, 1, 10]  # the largest of every text
    attributions[:, 1, 2] = [0.5, 0.5, 0.1, 0.1]  # above a fifth of the largest in two of four
    attributions[:, 1, 0] = [0.9, 0, 0, 0]  # in one of four
    assert knowledge_neurons(attributions, 0.2, 0.5, 20) == ((0, 1), (1, 2))
    assert knowledge_neurons(attributions, 0.2, 0.25, 20) == ((0, 1), (1, 2), (1, 0))
    assert knowledge_neurons(attributions, 0.2, 0.5, 1) == ((0, 1),)
    assert knowledge_neurons(np.zeros((2, 2, 3)), 0.2, 0.5, 20) == ()


def test_random_controls_are_as_many_and_others():
    places = ((0, 1), (2, 3), (2, 4))
    drawn = at_random([5, 5, 5], places, seed=1)
    assert len(set(drawn)) == 3 and not set(drawn) & set(places)
    assert drawn == at_random([5, 5, 5], places, seed=1)
    assert {at_random([5, 5, 5], places, seed) for seed in range(9)} != {drawn}
    assert at_random([1, 1, 1], ((0,), (2,)), seed=0) is None
    assert at_random([1, 1, 1], ((2,),), seed=0) in {((0,),), ((1,),)}


def test_controls_of_equal_activity_lie_in_the_same_layer_and_near():
    activity = [np.arange(100.0), np.arange(100.0)[::-1].copy()]
    places = ((0, 50), (0, 51), (1, 0))
    for seed in range(5):
        drawn = of_equal_activity(activity, places, seed)
        assert len(set(drawn)) == 3 and not set(drawn) & set(places)
        assert [layer for layer, _ in drawn] == [0, 0, 1]
        assert all(
            abs(activity[layer][number] - activity[layer][other]) <= 12
            for (layer, number), (_, other) in zip(places, drawn, strict=True)
        )
    assert of_equal_activity([np.ones(2)], ((0, 0), (0, 1)), 0) is None


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("unit", ["neurons", "heads"])
def test_activity_is_the_mean_over_real_tokens(family, unit, request):
    folder = request.getfixturevalue(f"{family}_folder")
    tower = Parts(Local(str(folder)), pooling_named("mean"), EncoderSettings(), 0).tower("query")
    token_ids = tower.token_ids(TEXTS, "query")
    found = mean_activity(tower, token_ids, unit, EncodingSettings(device="cpu", token_budget=60))
    part = feed_forwards(tower.backbone)[1]
    module = part.outer if unit == "neurons" else part.attention_output
    seen = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].abs()))
    with torch.no_grad():
        for ids in token_ids:
            tower(tower.pad([ids]))
    handle.remove()
    expected = torch.cat(seen).double().mean(dim=0)
    if unit == "heads":
        expected = expected.reshape(tower.backbone.config.num_attention_heads, -1).mean(dim=1)
    assert np.allclose(found[1], expected.numpy(), atol=1e-6)
    assert not module._forward_pre_hooks


def test_controls_of_different_facts_are_drawn_apart():
    plan = Plan("suppress", "neurons", 2.0, 5, 0.1, 0.5, control_seeds=2, seed=0)
    first, second = (seeds_of([Fact(document, ("q",))], plan) for document in ("a", "b"))
    sizes, places = [1000, 1000], [(0, 1), (1, 2), (1, 3)]
    drawn = {at_random(sizes, places, seed) for seed in [*first, *second]}
    assert len(drawn) == 4 and first == seeds_of([Fact("a", ("q", "r"))], plan)
