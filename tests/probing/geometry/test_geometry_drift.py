"""How far weights moved: closed forms, and modules told apart in every family."""

import copy

import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.probing.geometry.drift import MODULES, drift, effective_rank_of, module_kind
from pipeline.probing.units import same_weights, unit_names, units_of
from tests.encoders.conftest import any_folder, bert_folder, llama_folder  # noqa: F401

QUERY = {
    "bert": "encoder.layer.{}.attention.self.query.weight",
    "roberta": "encoder.layer.{}.attention.self.query.weight",
    "distilbert": "transformer.layer.{}.attention.q_lin.weight",
    "t5": "encoder.block.{}.layer.0.SelfAttention.q.weight",
    "llama": "layers.{}.self_attn.q_proj.weight",
}


def test_a_planted_change_of_rank_one_is_found_where_it_is(any_folder):  # noqa: F811
    base = Local(str(any_folder)).load("document", 0).model
    tuned = copy.deepcopy(base)
    weight = tuned.get_parameter(QUERY[any_folder.name].format(1))
    before = weight.detach().clone().double()
    with torch.no_grad():
        weight += 0.5 * torch.outer(torch.linspace(-1, 1, weight.shape[0]), torch.linspace(1, 2, weight.shape[1]))
    change = torch.linalg.matrix_norm(weight.detach().double() - before)
    done = []
    found = {(one.unit, one.module): one for one in drift(base, tuned, done.append)}
    planted = found.pop((2, "attention q"))
    assert planted.rank == pytest.approx(1, abs=1e-3)
    assert planted.full_rank == 16
    bias = [value for name, value in base.named_parameters() if name == QUERY[any_folder.name].format(1)[:-6] + "bias"]
    norm = torch.sqrt((before**2).sum() + sum((value.detach().double() ** 2).sum() for value in bias))
    assert planted.change == pytest.approx(float(change / norm), rel=1e-9)
    assert all(one.change == 0 and (one.rank == 0 or one.rank != one.rank) for one in found.values())
    assert sum(done) == sum(weight.numel() for weight in base.parameters())


def test_every_weight_has_its_unit_and_module(any_folder):  # noqa: F811
    model = Local(str(any_folder)).load("document", 0).model
    units = units_of(model)
    kinds = {(unit, module_kind(name, unit)) for name, unit in units.items()}
    for layer in range(1, 5):
        expected = set(MODULES) - {"embeddings", "attention qkv", "other"}
        found = {kind for unit, kind in kinds if unit == layer} - {"other"}
        assert found == expected, found
    assert (0, "embeddings") in kinds
    assert {kind for unit, kind in kinds if unit == 5} == ({"norms"} if any_folder.name in ("llama", "t5") else set())
    others = [name for name, unit in units.items() if module_kind(name, unit) == "other"]
    assert all("relative_attention_bias" in name for name in others), others
    assert unit_names(2) == ["embeddings", "layer 1", "layer 2", "after the layers"]


def test_weights_are_compared_only_where_shapes_are_the_same(bert_folder):  # noqa: F811
    whole, short = (Local(str(bert_folder), layers=layers).load("document", 0).model for layers in (4, 3))
    assert same_weights(whole, copy.deepcopy(whole))
    assert not same_weights(whole, short)


def test_the_effective_rank_of_a_matrix_is_that_of_its_singular_values():
    matrix = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shares = torch.linalg.svdvals(matrix)
    shares = shares / shares.sum()
    expected = float(torch.exp(-(shares * shares.log()).sum()))
    for form in (matrix, matrix.T, 1e-9 * matrix):
        assert effective_rank_of(form) == pytest.approx(expected, rel=1e-9)
    assert effective_rank_of(torch.eye(4, dtype=torch.float64)) == pytest.approx(4)
    assert effective_rank_of(torch.zeros(3, 4, dtype=torch.float64)) == 0
