"""Layer states are what transformers calls hidden states, pooled; and a table like any other."""

import numpy as np
import pytest
import torch

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.pooling import pooling_named
from pipeline.probing.layer_states import layer_states
from pipeline.probing.models import ProbedModel
from tests.encoders.conftest import TEXTS, any_folder, bert_folder, llama_folder  # noqa: F401


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_every_layer_is_the_pooled_hidden_state(any_folder, pooling, tmp_path):  # noqa: F811
    tower = Parts(Local(str(any_folder)), pooling_named(pooling), EncoderSettings(), 0).tower("document")
    model = ProbedModel("tiny", DualEncoder(tower, tower))
    texts = Texts.from_pairs((str(number), text) for number, text in enumerate(TEXTS))
    states = layer_states(model, texts, "document", EncodingSettings(device="cpu"), tmp_path, "documents")
    assert (len(states), states.depth, states.width) == (len(TEXTS), 4, 16)
    for row, text in enumerate(TEXTS):
        batch = tower.pad(tower.token_ids([text], "document"))
        with torch.no_grad():
            hidden = tower.backbone(**batch, output_hidden_states=True, return_dict=True).hidden_states
        for layer, expected in enumerate(hidden):
            found = states.layer(layer, [row])
            assert np.abs(found - tower.pooling(expected, batch["attention_mask"]).numpy()).max() < 1e-5


def test_states_are_of_length_one_where_that_is_asked(bert_folder, tmp_path):  # noqa: F811
    tower = Parts(Local(str(bert_folder)), pooling_named("mean"), EncoderSettings(), 0).tower("document")
    model = ProbedModel("tiny", DualEncoder(tower, tower), normalise=True)
    texts = Texts.from_pairs((str(number), text) for number, text in enumerate(TEXTS))
    states = layer_states(model, texts, "query", EncodingSettings(device="cpu"), tmp_path, "queries")
    assert np.allclose(np.linalg.norm(states.layer(2), axis=1), 1, atol=1e-6)
