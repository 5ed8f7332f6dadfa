"""What makes encoding fast on a CPU changes nothing but rounding."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.cpu import PackedLinear, attention_products, make_fast
from pipeline.encoders.encoding import Encoder, EncodingSettings, encode
from pipeline.encoders.pooling import Mean
from tests.encoders.conftest import TEXTS, edit_json

needs_mkldnn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build has no oneDNN")


def tower(folder):
    return build_tower(Local(str(folder)), Mean(), EncoderSettings(), "document", 0)


@needs_mkldnn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (7, 5, 24), (300, 24)])
def test_a_packed_layer_is_the_layer(shape, gelu, bias):
    torch.manual_seed(0)
    linear, states = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        expected = linear.double()(states.double())
        expected = nn.functional.gelu(expected) if gelu else expected
        packed = PackedLinear(linear.float(), 64, gelu)(states)
    torch.testing.assert_close(packed.double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("padded", [True, False])
def test_attention_is_its_equation(dtype, tolerance, padded):
    generator = np.random.default_rng(0)
    query, key, value = generator.normal(size=(3, 2, 3, 5, 4))
    real = np.array([5, 3]) if padded else np.array([5, 5])
    expected = np.empty((2, 5, 3, 4))
    for text in range(2):
        for head in range(3):
            scores = query[text, head] @ key[text, head, : real[text]].T / 2
            weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            expected[text, :, head] = weights @ value[text, head, : real[text]]
    mask = torch.where(torch.arange(5) < torch.from_numpy(real)[:, None], 0.0, torch.finfo(dtype).min)[:, None, None]
    tensors = [torch.from_numpy(part).to(dtype) for part in (query, key, value)]
    mixed, _ = attention_products(nn.Module(), *tensors, mask.to(dtype) if padded else None)
    np.testing.assert_allclose(mixed.float(), expected, atol=tolerance)


def test_every_architecture_gives_its_own_vectors_in_bfloat16(any_folder):
    made = tower(any_folder)
    rough = encode(made, TEXTS, "document", EncodingSettings(precision="bfloat16", device="cpu"))
    exact = encode(made, TEXTS, "document", EncodingSettings(device="cpu"))
    assert (rough * exact).sum(1).min() > 0.999
    assert np.abs(rough - exact).max() > 1e-5


def test_in_bfloat16_a_vector_does_not_depend_on_its_batch(minilm_folder):
    made, settings = tower(minilm_folder), EncodingSettings(precision="bfloat16", device="cpu")
    texts = [*TEXTS, "Lift of a wing in a slipstream. " * 20]
    encoder = Encoder(made, settings)
    together = encoder.encode(texts, "document")
    alone = np.concatenate([encoder.encode([text], "document") for text in texts])
    assert (together * alone).sum(1).min() > 0.9999


@needs_mkldnn
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_only_the_exact_gelu_is_joined_to_its_layer(bert_folder, activation):
    edit_json(bert_folder / "config.json", hidden_act=activation)
    made = tower(bert_folder)
    model = made.fast_backbone(torch.device("cpu"), torch.float32, 2048)
    intermediate = model.encoder.layer[0].intermediate
    assert isinstance(intermediate.dense, PackedLinear)
    kept = type(intermediate.intermediate_act_fn)
    assert kept is (nn.Identity if activation == "gelu" else type(ACT2FN[activation]))
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    with torch.inference_mode():
        expected = made.eval()(made.pad(made.token_ids(TEXTS, "document")))
    np.testing.assert_allclose(encode(made, TEXTS, "document"), expected, atol=1e-6)


def test_hooks_are_obeyed(bert_folder):
    """Whoever changes a layer's output by a hook sees the change in encoded vectors too."""
    made = tower(bert_folder).eval()
    plain = encode(made, TEXTS, "document")
    layer = made.backbone.encoder.layer[1]
    for module in (
        layer.intermediate.dense,
        layer.intermediate,
        layer.intermediate.intermediate_act_fn,
        layer.output.dense,
    ):
        handle = module.register_forward_hook(lambda module, inputs, output: output * 0.0)
        with torch.inference_mode():
            expected = made(made.pad(made.token_ids(TEXTS, "document")))
        np.testing.assert_allclose(encode(made, TEXTS, "document"), expected, atol=1e-6)
        assert np.abs(plain - expected.numpy()).max() > 1e-3
        handle.remove()


def test_decoders_keep_their_attention(llama_folder):
    model = tower(llama_folder).backbone.bfloat16()
    make_fast(model, torch.bfloat16, 64)
    assert model.config._attn_implementation == "sdpa"
