"""Tiny real checkpoints, made on the spot."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

WORDS = [
    "the",
    "lift",
    "of",
    "a",
    "wing",
    "in",
    "slip",
    "##stream",
    "flow",
    "heat",
    "query",
    "passage",
    ":",
    "boundary",
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def save_tokenizer(folder: Path, **settings) -> None:
    """Write a WordPiece tokenizer like BERT's."""
    ids = {word: index for index, word in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        **{"model_max_length": 64, **settings},
    ).save_pretrained(folder)


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small lose time to a second thread, and much of it on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SMALL = {"vocab_size": len(VOCABULARY), "pad_token_id": 0}
BERT = {
    **SMALL,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


def make(folder: Path, model_class, config) -> Path:
    """Write a model with random weights, large enough that its layers matter."""
    torch.manual_seed(0)
    config.initializer_range = 0.3
    model_class(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture
def bert_folder(tmp_path) -> Path:
    """A tiny BERT with a masked-LM head, as pre-trained checkpoints have it."""
    return make(tmp_path / "bert", BertForMaskedLM, BertConfig(**BERT))


@pytest.fixture
def bare_bert_folder(tmp_path) -> Path:
    """A tiny BERT with a pooler."""
    return make(tmp_path / "bare", BertModel, BertConfig(**BERT))


@pytest.fixture
def llama_folder(tmp_path) -> Path:
    """A tiny Llama with a language-model head."""
    config = LlamaConfig(
        **SMALL,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    return make(tmp_path / "llama", LlamaForCausalLM, config)


@pytest.fixture(params=["bert", "distilbert", "roberta", "t5", "llama"])
def any_folder(request, tmp_path) -> Path:
    """One tiny checkpoint of each architecture."""
    if request.param in ("bert", "llama"):
        return request.getfixturevalue(f"{request.param}_folder")
    if request.param == "distilbert":
        config = DistilBertConfig(**SMALL, dim=16, n_layers=4, n_heads=2, hidden_dim=32, max_position_embeddings=64)
        return make(tmp_path / "distilbert", DistilBertModel, config)
    if request.param == "t5":
        config = T5Config(**SMALL, d_model=16, d_kv=8, d_ff=32, num_layers=4, num_heads=2, decoder_start_token_id=0)
        return make(tmp_path / "t5", T5ForConditionalGeneration, config)
    return make(tmp_path / "roberta", RobertaModel, RobertaConfig(**{**BERT, "max_position_embeddings": 66}))


@pytest.fixture
def stories_folder(shared_data) -> Path:
    """A real, tiny Llama."""
    return shared_data / "stories260K"


def edit_json(path: Path, **changes) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


TEXTS = [
    "the lift of a wing",
    "a",
    "the boundary of a slipstream in the heat flow of a wing in slipstream flow",
    "heat flow in a boundary",
    "the wing of the slip in a heat of the boundary flow in the passage of a query of lift in flow",
]
