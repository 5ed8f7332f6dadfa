"""Tiny checkpoints with random weights of every family of blocks that is looked into, and where each has its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.encoders.conftest import VOCABULARY, make

WIDTH, NEURONS, LAYERS, HEADS = 32, 48, 2, 4


@dataclass(frozen=True)
class Sample:
    """A tiny model of one family.

    Attributes:
        name: Of its classes in transformers, without `Config` and `Model`.
        sizes: What else its config is told.
        inner: The weight of the neurons, from the block.
        outer: The weight that reads them.
        heads: The weight that reads the heads.
        fused: Whether `inner` has in its second half what the first is multiplied by.
        transposed: Whether weights are kept as [inputs, outputs].
        model: The class, where it has another name.
        neurons: How many each layer has.
        head_width: Numbers that each head gives.
        dtype: What it is looked at in: T5 reads the precision of layers that are exchanged in float32, and the masks of
            Gemma 2's and BLOOM's attention overflow in float64.
        pads_left: Whether texts may be padded on the left; MPNet knows padding by its own tokenizer's id only.
    """

    name: str
    sizes: dict[str, Any]
    inner: str
    outer: str
    heads: str
    fused: bool = False
    transposed: bool = False
    model: str = ""
    neurons: int = NEURONS
    head_width: int = WIDTH // HEADS
    dtype: torch.dtype = torch.float64
    pads_left: bool = True

    def folder(self, path: Path) -> Path:
        """Write it."""
        config = getattr(transformers, f"{self.name}Config")(vocab_size=len(VOCABULARY), pad_token_id=0, **self.sizes)
        return make(path, getattr(transformers, self.model or f"{self.name}Model"), config)


BERT = {
    "hidden_size": WIDTH,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
}
ENDS = {"bos_token_id": 2, "eos_token_id": 3}
LLAMA = {**BERT, "num_key_value_heads": 2, **ENDS}
GEMMA = {**LLAMA, "head_dim": 12, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}
MODERNBERT = {
    **{**BERT, "layer_types": ["sliding_attention", "full_attention"], "local_attention": 8},
    **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
}
T5 = {"d_model": WIDTH, "d_kv": 12, "d_ff": NEURONS, "num_layers": LAYERS, "num_heads": HEADS, "is_decoder": False}
GPT2 = {"n_embd": WIDTH, "n_inner": NEURONS, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64, **ENDS}
GPT_NEO = {
    **{key: size for key, size in BERT.items() if not key.startswith("num_")},
    **{"num_layers": LAYERS, "num_heads": HEADS, **ENDS},
}
OPT = {
    "hidden_size": WIDTH,
    "word_embed_proj_dim": WIDTH,
    "ffn_dim": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
}
FALCON = {
    **{key: size for key, size in BERT.items() if key != "intermediate_size"},
    **{"ffn_hidden_size": NEURONS, **ENDS},
}
OF_BERT = ("intermediate.dense.weight", "output.dense.weight", "attention.output.dense.weight")
OF_LLAMA = ("mlp.gate_proj.weight", "mlp.down_proj.weight", "self_attn.o_proj.weight")
OF_OPT = ("fc1.weight", "fc2.weight", "self_attn.out_proj.weight")
OF_NEOX = ("mlp.dense_h_to_4h.weight", "mlp.dense_4h_to_h.weight")
OF_T5 = ("layer.1.DenseReluDense.wo.weight", "layer.0.SelfAttention.o.weight")
OF_T5_TOO: dict[str, Any] = {"model": "T5EncoderModel", "head_width": 12, "dtype": torch.float32}
SAMPLES = {
    "BERT": Sample("Bert", BERT, *OF_BERT),
    "Llama": Sample("Llama", LLAMA, *OF_LLAMA),
    "ModernBERT": Sample("ModernBert", MODERNBERT, "mlp.Wi.weight", "mlp.Wo.weight", "attn.Wo.weight", fused=True),
    "DistilBERT": Sample(
        "DistilBert",
        {"dim": WIDTH, "hidden_dim": NEURONS, "n_layers": LAYERS, "n_heads": HEADS, "max_position_embeddings": 64},
        *("ffn.lin1.weight", "ffn.lin2.weight", "attention.out_lin.weight"),
    ),
    "MPNet": Sample("MPNet", BERT, *OF_BERT[:2], "attention.attn.o.weight", pads_left=False),
    "T5": Sample("T5", T5, "layer.1.DenseReluDense.wi.weight", *OF_T5, **OF_T5_TOO),
    "gated T5": Sample(
        "T5",
        {**T5, "feed_forward_proj": "gated-gelu"},
        *("layer.1.DenseReluDense.wi_0.weight", *OF_T5),
        **OF_T5_TOO,
    ),
    "Gemma 2": Sample("Gemma2", GEMMA, *OF_LLAMA, head_width=12, dtype=torch.float32),
    "Gemma 3": Sample("Gemma3Text", GEMMA, *OF_LLAMA, head_width=12),
    "Phi-3": Sample("Phi3", LLAMA, "mlp.gate_up_proj.weight", *OF_LLAMA[1:], fused=True),
    "GPT-2": Sample("GPT2", GPT2, "mlp.c_fc.weight", "mlp.c_proj.weight", "attn.c_proj.weight", transposed=True),
    "OPT": Sample("OPT", OPT, *OF_OPT),
    "OPT, norms after": Sample("OPT", {**OPT, "do_layer_norm_before": False}, *OF_OPT),
    "Nomic": Sample("NomicBert", BERT, *OF_LLAMA),
    "Jina v3": Sample("JinaEmbeddingsV3", BERT, "mlp.fc1.weight", "mlp.fc2.weight", OF_LLAMA[2]),
    "GPT-Neo": Sample(
        "GPTNeo",
        {**GPT_NEO, "attention_types": [[["global", "local"], 1]], "window_size": 4},
        *("mlp.c_fc.weight", "mlp.c_proj.weight", "attn.attention.out_proj.weight"),
    ),
    "GPT-NeoX": Sample("GPTNeoX", {**BERT, **ENDS}, *OF_NEOX, "attention.dense.weight"),
    "BLOOM": Sample(
        "Bloom",
        {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS, **ENDS},
        *(*OF_NEOX, "self_attention.dense.weight"),
        neurons=4 * WIDTH,
        dtype=torch.float32,
    ),
    "Falcon": Sample("Falcon", FALCON, *OF_NEOX, "self_attention.dense.weight"),
    "Falcon, newer": Sample(
        "Falcon",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
        *(*OF_NEOX, "self_attention.dense.weight"),
    ),
}
