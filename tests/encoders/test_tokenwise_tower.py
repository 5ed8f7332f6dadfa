"""A tower of lone tokens: against a plain loop, with gradients to the transformer, and as the look-up that serves."""

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import Mean
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tokenwise_tower import LightRetriever
from tests.encoders.conftest import TEXTS


@pytest.fixture
def pair(bert_folder) -> DualEncoder:
    return build_dual_encoder(Local(str(bert_folder)), Mean(), LightRetriever(), EncoderSettings(max_length=9))


def test_a_text_is_the_mean_of_its_lone_tokens(pair):
    whole, tower = pair.document, pair.query
    before, after = whole.tokenizer.around()
    for text, ours in zip(TEXTS, encode(tower, TEXTS, "query"), strict=True):
        ids = tower.tokenizer.backend.encode(text, add_special_tokens=False).ids
        with torch.no_grad():
            alone = [whole(whole.pad([[*before, token, *after]]))[0].numpy() for token in ids]
        mean = np.mean(alone, axis=0) if alone else np.zeros(tower.dimension)
        np.testing.assert_allclose(ours, mean / max(np.linalg.norm(mean), 1e-12), atol=1e-5)


def test_its_gradients_reach_the_transformer_that_documents_have_too(pair):
    inputs = pair.query.pad(pair.query.token_ids(TEXTS, "query"))
    pair.query(inputs).sin().sum().backward()
    assert all(weight.grad is not None for weight in pair.document.backbone.encoder.parameters())


def test_what_serves_is_a_look_up_with_the_same_vectors(pair):
    served = pair.query.served(EncodingSettings())
    assert isinstance(served, StaticTower)
    np.testing.assert_allclose(encode(served, TEXTS, "query"), encode(pair.query, TEXTS, "query"), atol=0.01)
    np.testing.assert_allclose(encode(pair.query, [""], "query"), 0)


def test_few_tokens_at_a_time_give_the_same_vectors(pair):
    few = encode(pair.query, TEXTS, "query", EncodingSettings(token_budget=5))
    np.testing.assert_allclose(few, encode(pair.query, TEXTS, "query"), atol=1e-5)
