"""Encoding: the order of the input, no dependence on neighbours, every precision, weights left alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoders.backbones import Llama, Local, MiniLM
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.encoding import Encoder, EncodingSettings, batches_by_length, encode
from pipeline.encoders.pooling import Cls, Last, Max, Mean
from pipeline.errors import UserError
from tests.encoders.conftest import TEXTS

POOLINGS = pytest.mark.parametrize("pooling", [Mean(), Cls(), Last(), Max()], ids=lambda pooling: pooling.name)
MIXED = [
    "lift",
    "What similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft?",
    "a wing",
    "The boundary layer in simple shear flow past a flat plate. " * 12,
    "heat conduction in composite slabs",
    "",
    "experimental investigation of the aerodynamics of a wing in a slipstream " * 3,
]


def tower(folder, pooling=None, **settings):
    return build_tower(Local(str(folder)), pooling or Mean(), EncoderSettings(**settings), "document", 0)


def assert_independent_of_batch(made, texts):
    """Encode texts together, alone, in another order and in small batches."""
    together = encode(made, texts, "document")
    alone = np.concatenate([encode(made, [text], "document") for text in texts])
    np.testing.assert_allclose(alone, together, atol=2e-6)
    np.testing.assert_allclose(encode(made, texts[::-1], "document")[::-1], together, atol=2e-6)
    for settings in (EncodingSettings(token_budget=1), EncodingSettings(window=2, token_budget=40)):
        np.testing.assert_allclose(encode(made, texts, "document", settings), together, atol=2e-6)


@POOLINGS
def test_a_vector_does_not_depend_on_its_batch(pooling):
    assert_independent_of_batch(build_tower(MiniLM(), pooling, EncoderSettings(), "document", 0), MIXED)


@POOLINGS
@pytest.mark.parametrize("side", ["left", "right"])
def test_nor_for_a_real_llama_under_padding_on_either_side(stories_folder, pooling, side):
    made = build_tower(Llama(str(stories_folder)), pooling, EncoderSettings(), "document", 0)
    made.tokenizer.padding_side = side
    assert_independent_of_batch(made, MIXED)


@POOLINGS
@pytest.mark.parametrize("side", ["left", "right"])
def test_nor_for_absolute_positions(any_folder, pooling, side):
    made = tower(any_folder, pooling)
    made.tokenizer.padding_side = side
    assert_independent_of_batch(made, TEXTS)


def test_it_is_what_transformers_computes(minilm_folder):
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(minilm_folder), AutoModel.from_pretrained(minilm_folder).eval()
    vectors = encode(build_tower(MiniLM(), Mean(), EncoderSettings(), "document", 0), MIXED, "document")
    for text, vector in zip(MIXED, vectors, strict=True):
        batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=256, padding=False)
        with torch.inference_mode():
            mean = model(**batch).last_hidden_state[0].double().mean(0)
        np.testing.assert_allclose(vector, mean / mean.norm(), atol=2e-6)


def test_bfloat16_is_close_and_leaves_the_weights_alone(bert_folder):
    made = build_tower(MiniLM(), Mean(), EncoderSettings(), "document", 0)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made.train()
    exact = encode(made, MIXED, "document")
    rough = encode(made, MIXED, "document", EncodingSettings(precision="bfloat16"))
    assert exact.dtype == rough.dtype == np.float32
    assert (exact * rough).sum(1).min() > 0.9995
    assert not np.array_equal(exact, rough)
    assert made.training
    assert all(parameter.requires_grad for parameter in made.parameters())
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_tower_in_training_is_encoded_without_dropout(bert_folder, precision):
    made, settings = tower(bert_folder), EncodingSettings(precision=precision)
    quiet = encode(made.eval(), TEXTS, "document", settings)
    assert np.array_equal(encode(made.train(), TEXTS, "document", settings), quiet)
    assert all(module.training for module in made.modules())


def test_training_goes_on_after_encoding(bert_folder):
    made = tower(bert_folder).train()
    encode(made, TEXTS, "document")
    made(made.pad(made.token_ids(TEXTS, "document"))).sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_forward_is_what_encode_computes(any_folder):
    made = tower(any_folder, projection=8).eval()
    with torch.inference_mode():
        expected = made(made.pad(made.token_ids(TEXTS, "query"))).numpy()
    np.testing.assert_allclose(encode(made, TEXTS, "query"), expected, atol=1e-6)


def test_cosine_normalises_and_dot_does_not(bert_folder):
    unit, free = (
        encode(tower(bert_folder), TEXTS, "query"),
        encode(tower(bert_folder, similarity="dot"), TEXTS, "query"),
    )
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(free / np.linalg.norm(free, axis=1, keepdims=True), unit, atol=1e-6)
    assert np.linalg.norm(free, axis=1).std() > 0.01


def test_tokens_are_counted_as_they_are_done(bert_folder):
    made, counts = tower(bert_folder), []
    encode(made, TEXTS, "document", EncodingSettings(token_budget=16), counts.append)
    assert sum(counts) == sum(map(len, made.token_ids(TEXTS, "document")))
    assert len(counts) > 1


def test_an_encoder_serves_many_calls_and_no_texts(bert_folder):
    made = tower(bert_folder)
    encoder = Encoder(made, EncodingSettings(precision="bfloat16"))
    assert np.array_equal(encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "query"))
    assert encoder.encode([], "query").shape == (0, 16)


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 200))
def test_batches_hold_every_text_once_within_the_budget(lengths, budget):
    batches = list(batches_by_length(lengths, budget))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    longest = [max(lengths[position] for position in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"precision": "float8"}, "encoding.precision=float8 is unknown"),
        ({"precision": "float16", "device": "cpu"}, "float16 needs a GPU"),
        ({"token_budget": 0}, "encoding.token_budget=0 must be a whole number"),
        ({"window": -1}, "encoding.window=-1 must be a whole number"),
        ({"device": "cuda:99"}, "encoding.device=cuda:99 is asked for"),
        ({"device": "gpu"}, "encoding.device=gpu is no device"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, sentence):
    with pytest.raises(UserError) as error:
        EncodingSettings(**settings)
    assert sentence in str(error.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_on_a_gpu_it_is_the_same(bert_folder, precision):
    made = tower(bert_folder)
    settings = EncodingSettings(precision=precision, device="cuda")
    assert (encode(made, TEXTS, "document") * encode(made, TEXTS, "document", settings)).sum(1).min() > 0.999
    assert made.device.type == "cpu"
