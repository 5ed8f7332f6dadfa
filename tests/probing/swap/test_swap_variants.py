"""Mixtures of two models' weights: their ends have the ends' bits, and neither model is touched."""

import copy

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.pooling import Mean
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.models import ProbedModel
from pipeline.probing.swap.variants import Mixture, Variant, ends_with_weights, variants
from pipeline.probing.units import units_of
from tests.encoders.conftest import TEXTS, any_folder, bert_folder, llama_folder, one_thread  # noqa: F401

UNITS = 6


def pair(folder, twin=False):
    """A model with random weights and one with others, each with a projection after its layers."""
    models = []
    for seed in (1, 2):
        settings = EncoderSettings(projection=8)
        tower = Parts(Local(str(folder), init="random"), Mean(), settings, seed).tower("document")
        query = Parts(Local(str(folder), init="random"), Mean(), settings, 2 + seed).tower("query") if twin else tower
        models.append(ProbedModel(str(seed), DualEncoder(query, tower)))
    return models


def of(listed, family) -> list[Variant]:
    return [variant for variant in listed if variant.family == family]


def test_each_family_takes_the_units_that_its_name_says():
    listed = variants(3, 4)
    assert [variant.tuned_share for variant in of(listed, "alone")] == [(0, 1, 1), (1, 0, 1), (1, 1, 0)]
    assert [variant.tuned_share for variant in of(listed, "from below")] == [(0, 1, 1), (0, 0, 1), (0, 0, 0)]
    assert [variant.tuned_share for variant in of(listed, "from above")] == [(0, 0, 0), (1, 0, 0), (1, 1, 0)]
    assert [variant.tuned_share for variant in of(listed, "between")] == [(step / 4,) * 3 for step in range(5)]


@pytest.mark.parametrize("twin", [False, True])
def test_the_ends_are_the_two_models_bit_for_bit(any_folder, twin):  # noqa: F811
    base, tuned = pair(any_folder, twin)
    before = [copy.deepcopy(model.encoder.state_dict()) for model in (base, tuned)]
    mixture, listed = Mixture(base, tuned), variants(UNITS, 3)
    ends = {0.0: base, 1.0: tuned}
    same = [of(listed, "between")[0], of(listed, "from below")[-1], of(listed, "from above")[0]]
    for variant, share in [*((one, 0.0) for one in same), (of(listed, "between")[-1], 1.0)]:
        for kind in ("query", "document"):
            mixed, end = mixture.tower(kind, variant.tuned_share), ends[share].tower(kind)
            assert mixed.fingerprint(kind) == end.fingerprint(kind)
            assert np.array_equal(encode(mixed, TEXTS, kind), encode(end, TEXTS, kind))
    for model, weights in zip((base, tuned), before, strict=True):
        assert all(torch.equal(value, weights[name]) for name, value in model.encoder.state_dict().items())


def test_one_unit_alone_comes_from_the_base_and_nothing_else(any_folder):  # noqa: F811
    base, tuned = pair(any_folder)
    mixture = Mixture(base, tuned)
    units = units_of(tuned.tower("document").backbone)
    for variant in of(variants(UNITS, 2), "alone"):
        mixed = mixture.tower("document", variant.tuned_share).state_dict()
        for name, value in mixed.items():
            unit = units.get(name.removeprefix("backbone."), UNITS - 1)
            end = base if unit == variant.unit else tuned
            assert torch.equal(value, end.tower("document").state_dict()[name]), name


def test_half_way_is_the_mean_of_both(bert_folder):  # noqa: F811
    base, tuned = pair(bert_folder)
    mixed = Mixture(base, tuned).tower("query", (0.5,) * UNITS).state_dict()
    ends = [model.tower("query").state_dict() for model in (base, tuned)]
    for name, value in mixed.items():
        torch.testing.assert_close(value, (ends[0][name].double() + ends[1][name].double()).div(2).float())


def test_what_comes_after_the_layers_is_a_unit_where_there_is_something(bert_folder, llama_folder):  # noqa: F811
    def tower(folder, **settings) -> TransformerTower:
        return Parts(Local(str(folder)), Mean(), EncoderSettings(**settings), 0).tower("document")

    assert not ends_with_weights(tower(bert_folder))
    assert ends_with_weights(tower(bert_folder, projection=8))
    assert ends_with_weights(tower(llama_folder))
