"""Edits are what a naive change of activations or weights gives, and leave nothing behind."""

import copy

import pytest
import torch

from pipeline.encoders.architecture import blocks
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.pooling import pooling_named
from pipeline.encoders.transformer_tower import token_states
from pipeline.errors import UserError
from pipeline.probing.intervention.edits import Edit, edited, require_places
from tests.encoders.conftest import TEXTS, bert_folder, llama_folder  # noqa: F401

NEURONS = ((1, 3), (1, 17), (3, 0))
HEADS = ((0, 1), (2, 0))


@pytest.fixture(params=["bert", "llama"])
def tower(request):
    folder = request.getfixturevalue(f"{request.param}_folder")
    return Parts(Local(str(folder)), pooling_named("mean"), EncoderSettings(), 0).tower("document")


@pytest.fixture
def backbone(tower):
    return tower.backbone.double().eval()


def batch_of(tower):
    return tower.pad(tower.token_ids(TEXTS, "document"))


def states_of(tower, backbone, edit=None, source=None):
    with torch.no_grad():
        if edit is None:
            return token_states(backbone, batch_of(tower))
        with edited(backbone, edit, source):
            return token_states(backbone, batch_of(tower))


def columns_times(backbone, unit, places, factor):
    """A copy whose weights that read the places are multiplied: naive, and for good."""
    naive = copy.deepcopy(backbone)
    for layer, number in places:
        part = feed_forwards(naive)[layer]
        with torch.no_grad():
            if unit == "neurons":
                part.outer.weight[:, number] *= factor
            else:
                width = 16 // naive.config.num_attention_heads
                part.attention_output.weight[:, number * width : (number + 1) * width] *= factor
    return naive


@pytest.mark.parametrize(("unit", "places"), [("neurons", NEURONS), ("heads", HEADS)])
@pytest.mark.parametrize(("action", "factor"), [("suppress", 0), ("erase", 0), ("amplify", 2), ("amplify", -0.5)])
def test_an_edit_is_what_changed_weights_give(tower, backbone, unit, places, action, factor):
    expected = states_of(tower, columns_times(backbone, unit, places, factor))
    found = states_of(tower, backbone, Edit(action, unit, places, factor))
    assert torch.allclose(found, expected, atol=1e-12)
    assert not torch.allclose(found, states_of(tower, backbone), atol=1e-6)


@pytest.mark.parametrize("action", ["suppress", "amplify"])
def test_a_layer_is_skipped_or_doubled(tower, backbone, action):
    found = states_of(tower, backbone, Edit(action, "layers", ((3,),)))
    with torch.no_grad():
        hidden = []
        handle = blocks(backbone)[3].register_forward_hook(
            lambda module, args, kwargs, output: hidden.extend([args[0] if args else kwargs["hidden_states"], output]),
            with_kwargs=True,
        )
        token_states(backbone, batch_of(tower))
        handle.remove()
        before, after = hidden
        expected = before if action == "suppress" else 2 * after - before
        final = getattr(backbone, "norm", torch.nn.Identity())
        assert torch.allclose(found, final(expected), atol=1e-12)


def other(backbone, parts):
    """A copy with other weights in some of its parts."""
    changed = copy.deepcopy(backbone)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in parts(changed):
            for weight in part.parameters():
                weight += 0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return changed


def test_all_neurons_patched_give_the_base_where_only_they_were_tuned(tower, backbone):
    tuned = other(backbone, lambda model: [part.inner for part in feed_forwards(model)])
    everything = tuple((layer, neuron) for layer in range(4) for neuron in range(32))
    base = states_of(tower, backbone)
    assert not torch.allclose(states_of(tower, tuned), base, atol=1e-3)
    assert torch.allclose(states_of(tower, tuned, Edit("patch", "neurons", everything), backbone), base, atol=1e-12)


def test_all_heads_patched_give_the_base_where_only_attention_was_tuned(tower, backbone):
    def before_the_heads_end(model):
        return [
            module
            for name, module in model.named_modules()
            if name.rsplit(".", 1)[-1] in ("query", "key", "value", "q_proj", "k_proj", "v_proj")
        ]

    tuned = other(backbone, before_the_heads_end)
    everything = tuple((layer, head) for layer in range(4) for head in range(backbone.config.num_attention_heads))
    base = states_of(tower, backbone)
    assert not torch.allclose(states_of(tower, tuned), base, atol=1e-3)
    assert torch.allclose(states_of(tower, tuned, Edit("patch", "heads", everything), backbone), base, atol=1e-12)


def test_all_layers_patched_give_the_base(tower, backbone):
    tuned = other(backbone, blocks)
    base = states_of(tower, backbone)
    assert not torch.allclose(states_of(tower, tuned), base, atol=1e-3)
    everything = tuple((layer,) for layer in range(4))
    assert torch.allclose(states_of(tower, tuned, Edit("patch", "layers", everything), backbone), base, atol=1e-12)


def test_one_neuron_patched_has_the_activation_of_the_base(tower, backbone):
    tuned = other(backbone, blocks)
    seen = []

    def look(module, args):
        seen.append(args[0])

    # The base's own activation, then the tuned model's as its `outer` reads it: hooks run in the order they were made.
    handle = feed_forwards(backbone)[2].outer.register_forward_pre_hook(look)
    states_of(tower, backbone)
    handle.remove()
    with torch.no_grad(), edited(tuned, Edit("patch", "neurons", ((2, 5),)), backbone):
        handle = feed_forwards(tuned)[2].outer.register_forward_pre_hook(look)
        token_states(tuned, batch_of(tower))
        handle.remove()
    base, patched = seen
    assert torch.equal(patched[..., 5], base[..., 5])
    assert not torch.allclose(patched[..., 6], base[..., 6])


@pytest.mark.parametrize(
    "edit",
    [Edit("suppress", "neurons", NEURONS), Edit("amplify", "heads", HEADS), Edit("patch", "layers", ((1,),))],
    ids=lambda edit: edit.action,
)
def test_nothing_stays_behind_even_after_an_exception(tower, backbone, edit):
    source = other(backbone, blocks)
    weights = {name: value.clone() for name, value in backbone.state_dict().items()}
    before, before_source = states_of(tower, backbone), states_of(tower, source)
    with torch.no_grad(), edited(backbone, edit, source):
        assert not torch.equal(token_states(backbone, batch_of(tower)), before)
    assert torch.equal(states_of(tower, backbone), before)
    with pytest.raises(RuntimeError, match="on purpose"), edited(backbone, edit, source):
        raise RuntimeError("on purpose")
    assert torch.equal(states_of(tower, backbone), before)
    assert torch.equal(states_of(tower, source), before_source)
    assert all(torch.equal(value, weights[name]) for name, value in backbone.state_dict().items())
    hooked = [module for model in (backbone, source) for module in model.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in hooked)


@pytest.mark.parametrize("action", ["suppress", "amplify", "patch"])
def test_the_fast_copy_that_encodes_is_edited_too(tower, action):
    source = other(tower.backbone, blocks)
    edit = Edit(action, "neurons", NEURONS)
    settings = EncodingSettings(device="cpu", token_budget=40)
    with edited(tower.backbone, edit, source):
        found = encode(tower, TEXTS, "document", settings)
        with torch.no_grad():
            expected = tower(batch_of(tower)).numpy()
    assert abs(found - expected).max() < 1e-5
    assert abs(found - encode(tower, TEXTS, "document", settings)).max() > 1e-4


def test_what_is_out_of_range_is_refused_with_the_range(backbone):
    for unit, places, words in (
        ("neurons", [(1, 2), (4, 0)], r"\[4, 0\] is out of range; the model has layers 0-3, each with neurons 0-31"),
        ("neurons", [(0, 32)], r"\[0, 32\] is out of range"),
        ("heads", [(0, -1)], r"each with heads 0-"),
        ("layers", [(9,)], "9 is out of range; the model has layers 0-3"),
        ("neurons", [(3,)], r"a pair of layer and number"),
    ):
        with pytest.raises(UserError, match=words):
            require_places(backbone, unit, places, f"probe.{unit}")
