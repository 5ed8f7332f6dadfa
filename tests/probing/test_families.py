"""Every family of blocks, looked into and edited: what comes out is what changed weights give."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from transformers import Gemma3nTextConfig, Gemma3nTextModel, MixtralConfig, MixtralModel, XLNetConfig, XLNetModel

from pipeline.encoders.architecture import blocks
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.feed_forward import weight_of
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.encoders.pooling import pooling_named
from pipeline.encoders.transformer_tower import TransformerTower, token_states
from pipeline.errors import UserError
from pipeline.probing.attribution.above import Upper
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS, Attributor
from pipeline.probing.attribution.method import Settings, published_method
from pipeline.probing.attribution.quadrature import Adaptive, GaussLegendre
from pipeline.probing.attribution.targets import Norm
from pipeline.probing.geometry.drift import module_kind
from pipeline.probing.intervention.edits import Edit, columns_of, edited, reader, sizes_of
from pipeline.probing.intervention.selections import mean_activity
from pipeline.probing.models import ProbedModel, differences
from pipeline.probing.units import units_of
from tests.encoders.conftest import TEXTS, VOCABULARY, make
from tests.probing.families import GEMMA, HEADS, LAYERS, LLAMA, NEURONS, SAMPLES, WIDTH

RULE = GaussLegendre(3)


def opened(folder, **settings) -> TransformerTower:
    return Parts(Local(str(folder), **settings), pooling_named("mean"), EncoderSettings(), 0).tower("document").eval()


@pytest.fixture(params=SAMPLES)
def sample(request):
    return SAMPLES[request.param]


@pytest.fixture
def tower(sample, tmp_path):
    """Normalisations are drawn too: with weights of 1 the norm of one token would be constant."""
    tower = opened(sample.folder(tmp_path / "model"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in tower.backbone.parameters():
            if value.ndim == 1:
                value += torch.rand(value.shape, generator=generator)
    return tower.to(sample.dtype)


def with_changed(tower, layer, name, change):
    """A copy of the transformer whose weight and bias of one linear layer are changed, and these two."""
    changed = copy.deepcopy(tower.backbone)
    weights = dict(blocks(changed)[layer].named_parameters())
    found = [weights[key] for key in (name, name.replace(".weight", ".bias")) if key in weights]
    with torch.no_grad():
        change(*found)
    return changed, found


def by_changed_weights(tower, sample, tokens, layer, name):
    """Integrate the gradient of one text's norm while the weights themselves grow, and multiply by the weights.

    Returns:
        The sum over each neuron's input weights, the sum over all weights and biases, and P(1) - P(0).
    """
    rows = slice(None, sample.neurons) if sample.fused and name == "inner" else slice(None)

    def norm_at(scale):
        changed, found = with_changed(
            tower, layer, getattr(sample, name), lambda *weights: [weight[rows].mul_(scale) for weight in weights]
        )
        return token_states(changed, tower.pad([tokens]))[0].mean(dim=0).norm(), found

    (at_one, weights), (at_zero, _) = norm_at(1), norm_at(0)
    rule, products = RULE.rule(), [torch.zeros_like(weight[rows]) for weight in weights]
    for point, share in zip(rule.points, rule.weights, strict=True):
        gradients = torch.autograd.grad(*norm_at(point))
        for one, gradient, weight in zip(products, gradients, weights, strict=True):
            one += share * gradient[rows] * weight.detach()[rows]
    by_neuron = products[0].abs().sum(dim=0 if sample.transposed else 1).numpy()
    return by_neuron, sum(float(one.sum()) for one in products), (at_one - at_zero).item()


def test_attributions_are_those_of_changed_weights_beside_padding_on_either_side(tower, sample):
    ids = tower.token_ids(TEXTS, "document")
    found = {}
    for side in ("right", "left") if sample.pads_left else ("right",):
        tower.tokenizer.padding_side = side
        found[side] = Attributor(tower, torch.device("cpu")).attribute(ids, RULE, Norm())
    for text, layer, (place, name) in product((1, 2), range(LAYERS), enumerate(SUB_LAYERS)):
        by_neuron, total, difference = by_changed_weights(tower, sample, ids[text], layer, name)
        for mine in found.values():
            assert np.abs(getattr(mine, name)[text, layer] - by_neuron).max() <= 1e-5 * by_neuron.max()
            assert mine.total[text, layer, place] == pytest.approx(total, abs=1e-5 * mine.value[text])
            assert mine.difference[text, layer, place] == pytest.approx(difference, abs=1e-5 * mine.value[text])


@torch.no_grad()
def test_what_a_sub_layer_gave_put_back_changes_nothing(tower):
    """Falcon adds its attention to what the sub-layer gave, in place."""
    upper, texts = Upper(tower, torch.device("cpu"), 64), torch.arange(len(TEXTS))
    trace = upper.run(tower.token_ids(TEXTS, "document"))
    for layer, name in product(range(LAYERS), ("inner", "outer")):
        given = upper.output(trace, layer, name)
        kept = given.clone()
        assert alike(upper.pooled(trace, layer, name, given, texts), trace.pooled)
        assert torch.equal(upper.output(trace, layer, name), kept)


@pytest.mark.parametrize("sample", [SAMPLES[name] for name in ("Gemma 2", "Gemma 3")], ids=lambda sample: sample.name)
def test_norms_after_a_sub_layer_are_resolved_where_its_output_is_near_zero(tower):
    """Gemma's take the scale away again, so that the path turns at its very beginning and nowhere else."""
    ids, attributor = tower.token_ids(TEXTS, "document"), Attributor(tower, torch.device("cpu"))
    assert attributor.attribute(ids, Adaptive(), Norm()).gap.max() <= 0.02
    assert attributor.attribute(ids, GaussLegendre(54), Norm()).gap.max() > 0.2  # as many points, evenly


@torch.no_grad()
def states_of(tower, backbone, edit=None, source=None):
    batch = tower.pad(tower.token_ids(TEXTS, "document"))
    with edited(backbone, edit, source) if edit else nullcontext():
        return token_states(backbone, batch)[batch["attention_mask"].bool()]


def alike(found, expected) -> bool:
    return torch.allclose(found, expected, atol=1e-9 if found.dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("unit", ["neurons", "heads"])
def test_an_edit_is_what_changed_weights_give(tower, sample, unit):
    chosen = [7] if unit == "neurons" else range(2 * sample.head_width, 3 * sample.head_width)
    name = sample.outer if unit == "neurons" else sample.heads

    def amplify(weight, *_):
        (weight.T if sample.transposed else weight)[:, chosen] *= 3

    expected = states_of(tower, with_changed(tower, 1, name, amplify)[0])
    place = (1, 7 if unit == "neurons" else 2)
    assert alike(states_of(tower, tower.backbone, Edit("amplify", unit, (place,), factor=3)), expected)
    assert not alike(states_of(tower, tower.backbone), expected)
    erased = copy.deepcopy(tower.backbone)
    with torch.no_grad():
        weight_of(reader(erased, unit, 1))[:, columns_of(erased, unit, 1, [place])] = 0
    assert alike(states_of(tower, tower.backbone, Edit("erase", unit, (place,))), states_of(tower, erased))


def test_a_suppressed_last_layer_is_a_model_without_it(tower, tmp_path):
    short = opened(tmp_path / "model", layers=LAYERS - 1).to(next(tower.parameters()).dtype)
    short.backbone.load_state_dict(tower.backbone.state_dict(), strict=False)
    found = states_of(tower, tower.backbone, Edit("suppress", "layers", ((LAYERS - 1,),)))
    assert alike(found, states_of(short, short.backbone))


def test_what_is_patched_everywhere_gives_the_base(tower, sample):
    base = states_of(tower, tower.backbone)
    generator = torch.Generator().manual_seed(3)

    def redrawn(part):
        tuned = copy.deepcopy(tower.backbone)
        with torch.no_grad():
            for weight in (weight for block in blocks(tuned) for weight in part(block)):
                weight.copy_(torch.rand(weight.shape, generator=generator))
        return tuned

    every = tuple((layer, number) for layer in range(LAYERS) for number in range(sample.neurons))
    for tuned, edit in (
        (redrawn(lambda block: [block.get_parameter(sample.inner)]), Edit("patch", "neurons", every)),
        (redrawn(lambda block: block.parameters()), Edit("patch", "layers", tuple((n,) for n in range(LAYERS)))),
    ):
        assert not alike(states_of(tower, tuned), base)
        assert alike(states_of(tower, tuned, edit, tower.backbone), base)


@pytest.mark.parametrize("unit", ["neurons", "heads"])
def test_activity_is_the_mean_over_real_tokens(tower, sample, unit):
    ids = tower.token_ids(TEXTS, "document")
    reads = blocks(tower.backbone)[1].get_submodule((sample.outer if unit == "neurons" else sample.heads)[:-7])
    seen = []
    handle = reads.register_forward_pre_hook(lambda _, args: seen.append(args[0].reshape(-1, args[0].shape[-1]).abs()))
    with torch.no_grad():
        for tokens in ids:
            tower(tower.pad([tokens]))
    handle.remove()
    expected = torch.cat(seen).double().mean(dim=0)
    expected = expected if unit == "neurons" else expected.reshape(HEADS, -1).mean(dim=1)
    found = mean_activity(tower, ids, unit, EncodingSettings(device="cpu"))
    assert np.allclose(found[1], expected.numpy(), rtol=1e-5)


def test_layers_are_what_transformers_calls_hidden_states(tower):
    batch = tower.pad(tower.token_ids(TEXTS[1:2], "document"))
    with torch.no_grad():
        states = tower.backbone(**batch, output_hidden_states=True).hidden_states
        expected = torch.cat([state[0].mean(dim=0) for state in states])
        assert torch.allclose(LayerwiseTower(tower)(batch)[0], expected, atol=1e-6)


def test_layers_whose_states_are_not_of_texts_tokens_and_width_are_refused(tmp_path):
    """XLNet's have tokens before texts."""
    config = XLNetConfig(vocab_size=len(VOCABULARY), d_model=WIDTH, n_layer=LAYERS, n_head=HEADS, pad_token_id=0)
    tower = opened(make(tmp_path / "xlnet", XLNetModel, config))
    with pytest.raises(UserError, match=r"xlnet model cannot be looked into: .* shape \[3, 1, 32\], not \[1, 3, 32\]"):
        LayerwiseTower(tower)(tower.pad([[2, 5, 3]]))


def test_every_weight_has_its_unit_and_module(tower):
    """Whatever stands outside the layers and is no normalisation is run before them."""
    layers = {name for name, unit in units_of(tower.backbone).items() if 0 < unit <= LAYERS}
    for name, unit in units_of(tower.backbone).items():
        outside = 0 if "emb" in name or name[:3] in ("wte", "wpe", "sha") or "relative" in name else LAYERS + 1
        assert unit == outside or name in layers, name
        assert module_kind(name, unit) != "other" or "SelfAttention.relative_attention_bias" in name, name
    fused = {name for name in layers if any(part in name for part in ("Wqkv", "qkv_proj", "c_attn", "query_key_value"))}
    assert fused == {name for name in layers if module_kind(name, 1) == "attention qkv"}


def test_mixtures_of_experts_are_refused_by_name(tmp_path):
    config = MixtralConfig(**LLAMA, vocab_size=len(VOCABULARY), pad_token_id=0, num_local_experts=2)
    backbone = opened(make(tmp_path / "mixtral", MixtralModel, config)).backbone
    for unit in ("neurons", "heads"):
        with pytest.raises(
            UserError, match=r"a mixtral block has is not known: known are BERT's, .* has .*mlp\.experts"
        ):
            sizes_of(backbone, unit)


def test_layers_that_hand_up_several_states_are_refused(tmp_path):
    """Gemma 3n calls its parts as Llama does."""
    sizes = {**GEMMA, "intermediate_size": [NEURONS] * LAYERS, "activation_sparsity_pattern": [0.0] * LAYERS}
    sizes |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": len(VOCABULARY), "laurel_rank": 4}
    config = Gemma3nTextConfig(**sizes, vocab_size=len(VOCABULARY), pad_token_id=0, num_kv_shared_layers=0)
    tower = opened(make(tmp_path / "gemma3n", Gemma3nTextModel, config))
    with pytest.raises(UserError, match="A gemma3n_text model cannot be run from the middle of a layer on"):
        Attributor(tower, torch.device("cpu"))


def test_nothing_is_published_of_other_blocks(tmp_path):
    for name, has in (("DistilBERT", "DistilBERT's"), ("GPT-2", "GPT-2's")):
        tower = opened(SAMPLES[name].folder(tmp_path / name))
        models = {"it": ProbedModel("it", DualEncoder(tower, tower))}
        with pytest.raises(UserError, match=f"BERT's and Llama's blocks, and models.it has {has}; take protocol=sound"):
            published_method(Settings(None, None, None, [], None), models)


def test_models_with_other_neurons_are_told_apart(tmp_path):
    """T5's config keeps the number of neurons under a name of its own."""
    base, gated = (opened(SAMPLES[name].folder(tmp_path / name)) for name in ("T5", "gated T5"))
    wide = opened(replace(SAMPLES["T5"], sizes={**SAMPLES["T5"].sizes, "d_ff": 64}).folder(tmp_path / "wide"))
    first, *others = (ProbedModel("it", DualEncoder(tower, tower), "query") for tower in (base, gated, wide))
    assert [differences(first, other) for other in others] == [
        [("blocks", "T5's", "gated T5's")],
        [("neurons", NEURONS, 64)],
    ]
