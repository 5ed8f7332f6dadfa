"""What other tasks put on top of an encoder is left out; what may belong to its vectors is not."""

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pipeline.encoders.checkpoints import load_transformer, read_config
from pipeline.errors import UserError
from tests.encoders.conftest import SMALL

BERT_LIKE = {**SMALL, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
GPT2 = {**SMALL, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
T5 = {**SMALL, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
XLNET = {**SMALL, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}
HEADED = {
    "GPTNeoXForCausalLM": (BERT_LIKE, "embed_out.weight"),
    "GPT2DoubleHeadsModel": (GPT2, "multiple_choice_head.summary.weight"),
    "XLNetLMHeadModel": (XLNET, "lm_loss.bias"),
    "XLNetForSequenceClassification": (XLNET, "logits_proj.weight"),
    "XLMForSequenceClassification": (
        {**SMALL, "emb_dim": 16, "n_layers": 2, "n_heads": 2},
        "sequence_summary.summary.weight",
    ),
    "T5ForSequenceClassification": (T5, "classification_head.dense.weight"),
    "MT5ForConditionalGeneration": (T5, "decoder.final_layer_norm.weight"),
    "UMT5ForSequenceClassification": (T5, "transformer.decoder.final_layer_norm.weight"),
    "LukeForMaskedLM": ({**BERT_LIKE, "entity_vocab_size": 9, "entity_emb_size": 8}, "entity_predictions.bias"),
    "SplinterForPreTraining": ({**BERT_LIKE, "vocab_size": 200}, "splinter_qass.end_classifier.weight"),
}


def opened(folder):
    return load_transformer(folder, read_config(folder), layers=None, init="pretrained", seed=0)


@pytest.mark.parametrize("name", HEADED)
def test_an_encoder_opens_out_of_a_checkpoint_with_a_head(tmp_path, name):
    settings, head = HEADED[name]
    model_class = getattr(transformers, name)
    torch.manual_seed(0)
    model_class(model_class.config_class(**settings)).save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert head in saved
    model = opened(tmp_path)
    assert "For" not in type(model).__name__
    expected = type(model).from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    kept = {value.numpy().tobytes() for value in saved.values()}
    assert sum(value.numpy().tobytes() in kept for value in model.state_dict().values()) > 10


@pytest.mark.parametrize(
    "name", ["linear.weight", "dense.weight", "head.weight", "embeddingHead.weight", "decoder.layer.0.weight"]
)
def test_a_layer_that_may_belong_to_the_vectors_is_not_left_out(bert_folder, name):
    weights = load_file(bert_folder / "model.safetensors")
    save_file({**weights, name: torch.ones(16, 16)}, bert_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"unknown to it are {name}"):
        opened(bert_folder)
