"""Two tiny models of which one has one layer spoilt, and pairs that the other finds by their letters."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

DEPTH, WIDTH = 3, 16
SPOILT = 2
"""The layer in which the base differs from the tuned model, counted from 1."""
ALPHABET = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789"]


def save_letters(folder: Path) -> None:
    """Write a tokenizer of single letters."""
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(ALPHABET)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names).save_pretrained(folder)


def save_models(folder: Path) -> tuple[Path, Path]:
    """Write the base, whose second layer keeps three dimensions only, and the tuned model, whose layers change little."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(ALPHABET),
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.02,
    )
    model = BertModel(config)
    for name in ("tuned", "base"):
        if name == "base":
            with torch.no_grad():
                model.encoder.layer[SPOILT - 1].output.LayerNorm.weight[3:] = 0
        model.save_pretrained(folder / name)
        save_letters(folder / name)
    return folder / "base", folder / "tuned"


def save_pairs(folder: Path) -> Path:
    """Write queries that share most letters with one document each."""
    path = folder / "pairs.jsonl"
    generator = torch.Generator().manual_seed(1)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(60):
            letters = "".join(ALPHABET[4 + int(place)] for place in torch.randint(0, 26, (12,), generator=generator))
            file.write(json.dumps({"query": f"{letters[:9]}{number % 7}", "document": letters[::-1]}) + "\n")
    return path


def settings(folder: Path, base: Path, tuned: Path, *more: str) -> list[str]:
    """Give the words of a command that looks into both models over the pairs."""
    each = "{{model: local, pooling: mean, settings: {{backbone: {{path: {}}}}}}}"
    return [
        f"models={{base: {each.format(base)}, tuned: {each.format(tuned)}}}",
        "dataset=jsonl",
        f"dataset.path={save_pairs(folder)}",
        "split=train",
        f"tables={folder / 'tables'}",
        f"folder={folder / 'out'}",
        "encoding.device=cpu",
        *more,
    ]
