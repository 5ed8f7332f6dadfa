"""Runs made by hand, and models small enough to retrieve within milliseconds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import Shared, build_dual_encoder
from pipeline.encoders.pooling import Mean
from pipeline.retrieval.run import Ranking, Run


@pytest.fixture(scope="session")
def run_of() -> Callable[..., Run]:
    """Make a run of scores by document by query."""

    def make(scores: Mapping[str, Mapping[str, float]], name: str = "mine") -> Run:
        return Run(name, {query: Ranking.of(list(of), np.array(list(of.values()))) for query, of in scores.items()})

    return make


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write a sentence-transformers folder: one layer of random weights over characters."""
    alphabet = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(alphabet)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    plain = folder.with_name(f"{folder.name}.plain")
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(plain)
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(
        BertConfig(vocab_size=len(alphabet), max_position_embeddings=64, initializer_range=0.5, **size)
    ).save_pretrained(plain)
    build_dual_encoder(Local(str(plain)), Mean(), Shared(), seed=seed).save(folder, "A tiny model for tests.")
    return folder
