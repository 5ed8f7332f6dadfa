import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from pipeline.encoders.backbones import Llama, Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.pooling import Mean
from pipeline.errors import UserError
from pipeline.training.pretraining.batches import Rows
from pipeline.training.pretraining.head import logits_at, require_encoder, start_from_frequencies, with_head
from pipeline.training.pretraining.held_out import HeldOut
from pipeline.training.pretraining.masking import Masking
from tests.encoders.conftest import BERT, SMALL, TEXTS, make

ORDINARY = np.arange(5, 19)
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ARCHITECTURES = [
    (RobertaForMaskedLM, RobertaConfig(**{**BERT, "max_position_embeddings": 66})),
    (DistilBertForMaskedLM, DistilBertConfig(**SMALL, dim=16, n_layers=2, n_heads=2, hidden_dim=32)),
    (ElectraForMaskedLM, ElectraConfig(**SMALL, **SIZES, embedding_size=16)),
    (AlbertForMaskedLM, AlbertConfig(**SMALL, **SIZES, embedding_size=8)),
    (ModernBertForMaskedLM, ModernBertConfig(**SMALL, **SIZES, max_position_embeddings=64)),
]


def headed(folder, **settings):
    backbone = Local(str(folder), **settings)
    tower = build_tower(backbone, Mean(), EncoderSettings(), "document", 0)
    return tower, with_head(tower, backbone, 0)


def held_out(tower, log_probabilities=None) -> HeldOut:
    masking = Masking(0.3, False, tower.tokenizer.mask_id, ORDINARY)
    known = np.full(19, math.log(1 / 14)) if log_probabilities is None else log_probabilities
    return HeldOut(TEXTS, tower.tokenizer, masking, known, EncodingSettings(), 0)


def test_losses_are_the_naive_cross_entropy_in_float64(bert_folder):
    tower, found = headed(bert_folder)
    there = held_out(tower)
    losses = there.measure(found.model, torch.device("cpu")).losses
    naive = AutoModelForMaskedLM.from_pretrained(bert_folder).double().eval()
    expected = []
    for row in range(len(TEXTS)):
        length = int(there.batch.attention[row].sum())
        shown = torch.tensor(there.batch.shown[None, row, :length])
        logits = naive(input_ids=shown).logits[0].detach().numpy()
        whole = tower.tokenizer.backend.encode(TEXTS[row]).ids
        for place in np.flatnonzero(there.batch.chosen[row]):
            expected.append(math.log(sum(math.exp(logit) for logit in logits[place])) - logits[place][whole[place]])
    assert losses == pytest.approx(expected, abs=1e-5)
    assert there.text_of.tolist() == np.repeat(np.arange(5), there.batch.chosen.sum(axis=1)).tolist()


def test_unigram_entropy_is_the_mean_over_the_same_positions(bert_folder):
    tower, _ = headed(bert_folder)
    logarithms = np.log(np.arange(1, 20) / 190)
    there = held_out(tower, logarithms)
    expected = []
    for text, chosen in zip(TEXTS, there.batch.chosen, strict=True):
        ids = tower.tokenizer.backend.encode(text).ids
        expected += [-logarithms[ids[place]] for place in np.flatnonzero(chosen)]
    assert there.unigram_entropy == pytest.approx(np.mean(expected))


def test_a_checkpoints_own_head_is_read_and_its_weights_are_tied(bert_folder):
    _, found = headed(bert_folder)
    assert not found.fresh
    assert found.model.get_output_embeddings().weight is found.model.get_input_embeddings().weight
    saved = load_file(bert_folder / "model.safetensors")
    own = found.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in saved.items())


def test_an_encoder_alone_gets_a_new_head_on_its_own_embeddings(bare_bert_folder):
    tower, found = headed(bare_bert_folder)
    assert found.fresh
    embeddings = tower.backbone.get_input_embeddings().weight
    assert found.model.get_output_embeddings().weight is embeddings
    assert torch.equal(
        embeddings, load_file(bare_bert_folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    )


def test_fewer_layers_and_random_weights(bert_folder):
    _, found = headed(bert_folder, layers=2)
    assert not found.fresh and found.model.config.num_hidden_layers == 2
    tower, drawn = headed(bert_folder, layers=1, init="random")
    assert drawn.fresh and len(drawn.model.base_model.encoder.layer) == 1
    assert drawn.model.base_model is tower.backbone


def test_a_new_head_starts_from_the_frequencies(bare_bert_folder):
    _, found = headed(bare_bert_folder)
    logarithms = np.log(np.arange(1, 20) / 190)
    logarithms[0] = -np.inf
    start_from_frequencies(found.model, logarithms)
    with torch.no_grad():
        found.model.get_output_embeddings().weight.zero_()
    shown = torch.tensor([[2, 5, 3]])
    logits = logits_at(found.model, shown, torch.ones_like(shown), shown == 5)
    assert torch.softmax(logits[0], -1)[1:].detach().numpy() == pytest.approx(np.arange(2, 20) / 189, rel=1e-5)


@pytest.mark.parametrize(("model_class", "config"), ARCHITECTURES, ids=lambda value: getattr(value, "model_type", ""))
def test_logits_at_chosen_places_are_those_of_the_whole(model_class, config, tmp_path):
    tower, found = headed(make(tmp_path / "model", model_class, config))
    assert not found.fresh
    rows = Rows.of([(np.arange(5, 9), np.ones(4, bool)), (np.arange(7, 15), np.ones(8, bool))], tower.tokenizer)
    shown, mask = torch.tensor(rows.ids), torch.tensor(rows.attention.astype(int))
    chosen = torch.tensor(rows.ordinary) & (shown % 2 == 0)
    with torch.no_grad():
        whole = found.model(input_ids=shown, attention_mask=mask).logits[chosen]
        assert torch.allclose(logits_at(found.model, shown, mask, chosen), whole, atol=1e-5)


def test_decoders_and_tokenizers_without_a_mask_are_refused(llama_folder, bert_folder, tmp_path):
    with pytest.raises(UserError, match="backbone=llama is a decoder without one; choose a BERT-like backbone"):
        require_encoder(Llama(str(llama_folder)))
    with pytest.raises(UserError, match="backbone=local is a llama without one"):
        headed(llama_folder)
    tower = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(), "document", 0)
    tower.tokenizer.special.pop("mask_token")
    with pytest.raises(UserError, match="no mask token"):
        with_head(tower, Local(str(bert_folder)), 0)


def test_learned_needs_a_fifth_less_than_word_frequencies(bert_folder):
    tower, _ = headed(bert_folder)
    there = held_out(tower)
    entropy = there.unigram_entropy
    assert there.learned(there.unigram_losses - 0.3 * entropy)
    assert not there.learned(there.unigram_losses - 0.1 * entropy)
    assert there.gain(there.unigram_losses - 0.1 * entropy).excludes_zero
    # A fifth on average, but not in every text: the interval says so.
    uneven = np.where(there.text_of % 2, 0.1, 0.9) * entropy
    assert not there.learned(uneven + (0.75 * entropy - uneven.mean()))


def test_the_config_is_still_that_of_the_architecture(bert_folder):
    _, found = headed(bert_folder)
    assert isinstance(found.model.config, BertConfig)
