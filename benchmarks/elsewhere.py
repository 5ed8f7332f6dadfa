"""Vectors of what is saved, opened by the libraries of other interpreters: `python -m benchmarks.elsewhere PYTHON …`.

Without arguments, by this one. Nothing is timed: each prints its versions and its largest difference to ours, and how what it
cannot open is refused.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, T5EncoderModel

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind, Llama, MiniLM
from pipeline.encoders.building import EncoderSettings, build_dual_encoder, build_tower
from pipeline.encoders.checkpoints import fresh
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import AsSaved, Last, Mean
from pipeline.encoders.query_towers import Selective
from pipeline.encoders.static_query import Static
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower

OPENER = Path(__file__).with_name("opened_elsewhere.py")
STORIES = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "stories260K"
TEXTS = [
    "lift of a wing",
    "a",
    "Élan naïve café, 日本語 and 🙂 [SEP] beside <s> two  spaces",
    "What happens in a boundary layer when heat flows along a plate that is much longer than it is wide? " * 3,
]
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "pad_token_id": 0,
}
ROTARY: dict[str, Any] = SMALL | {"rope_theta": 500.0}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "albert": SMALL | {"embedding_size": 16},
    "deberta-v2": SMALL,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 130},
    "electra": SMALL,
    "gemma2": ROTARY | {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 6},
    "gemma3_text": ROTARY
    | {"head_dim": 8, "num_key_value_heads": 2, "rope_local_base_freq": 70.0, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 130},
    "gpt_neox": SMALL | {"rotary_emb_base": 500, "rotary_pct": 0.5},
    "llama": ROTARY | {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "mistral": ROTARY | {"num_key_value_heads": 2, "head_dim": 8},
    "mixtral": ROTARY | {"num_key_value_heads": 2, "num_local_experts": 2, "num_experts_per_tok": 1},
    "modernbert": SMALL | {"global_rope_theta": 500.0, "local_rope_theta": 70.0, "local_attention": 8},
    "mpnet": SMALL,
    "opt": SMALL | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi3": ROTARY,
    "qwen3": ROTARY | {"num_key_value_heads": 2, "head_dim": 8},
    "roberta": SMALL,
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    "xlm-roberta": SMALL,
}
"""Small ones with settings unlike their defaults, so that a setting that is not read gives other vectors."""


def moved(tower: Tower) -> Tower:
    """Move all weights a little, as training does."""
    with torch.no_grad():
        for weights in tower.parameters():
            noise = torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
            weights.add_(noise, alpha=0.01 * float(weights.std(correction=0)))
    return tower


def small(kind: str) -> Tower:
    """Draw a small transformer of an architecture, with MiniLM's tokenizer."""
    tokenizer = build_tower(MiniLM(layers=1), Mean(), EncoderSettings(max_length=64), "document", 0).tokenizer
    config = AutoConfig.for_model(kind, vocab_size=tokenizer.size, initializer_range=0.3, **ARCHITECTURES[kind])
    return TransformerTower(fresh(T5EncoderModel if kind == "t5" else AutoModel, config, 0), tokenizer, Mean())


def made() -> dict[str, DualEncoder]:
    """Make what is to be opened, by the name of its folder."""
    minilm = moved(build_tower(MiniLM(), AsSaved(), EncoderSettings(), "document", 0))
    settings = EncoderSettings(projection=64, similarity="dot", query_prompt="query: ", max_length=16)
    projected = build_tower(MiniLM(layers=2), Mean(), settings, "document", 0)
    known = projected.tokenizer
    cut = copy.deepcopy(projected)
    cut.tokenizer = TextTokenizer(known.backend, known.special, 16, "right", "left")
    texts = [Texts.from_pairs([(str(place), text) for place, text in enumerate(TEXTS)])]
    pair = build_dual_encoder(MiniLM(layers=2), Mean(), Static("token_embeddings", "idf", False), texts=texts)
    selective = build_dual_encoder(MiniLM(layers=2), Mean(), Selective(0.5, "all"), texts=texts)
    towers = {"minilm": minilm, "projection": projected, "cut at the beginning": cut, "static": pair.query}
    if STORIES.is_dir():
        end = EncoderSettings(append_eos=True)
        towers["stories260K"] = build_tower(Llama(str(STORIES)), Last(), end, "document", 0)
    towers |= {kind: small(kind) for kind in ARCHITECTURES}
    return {name: DualEncoder(tower, tower) for name, tower in towers.items()} | {
        "pair of static and minilm": pair,
        "selective": selective,
    }


def save(dual_encoder: DualEncoder, folder: Path) -> None:
    """Save with the vectors, and of one transformer the token ids, that it gives here."""
    dual_encoder.save(folder, "")
    settings = EncodingSettings(precision="float32", device="cpu")
    kinds: tuple[Kind, ...] = ("query", "document")
    vectors = {kind: encode(dual_encoder.tower(kind), TEXTS, kind, settings) for kind in kinds}
    np.savez(folder / "vectors.npz", **vectors)  # type: ignore[arg-type]
    if dual_encoder.symmetric and isinstance(dual_encoder.query, TransformerTower):
        ids, _ = dual_encoder.query.tokenizer.token_ids(TEXTS)
        (folder / "ids.json").write_text(json.dumps(ids), encoding="utf-8")


def main() -> None:
    """Save everything, and have every interpreter open it."""
    with tempfile.TemporaryDirectory() as place:
        for name, dual_encoder in made().items():
            save(dual_encoder, Path(place) / name)
        (Path(place) / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
        for python in sys.argv[1:] or [sys.executable]:
            subprocess.run([python, str(OPENER), place], check=True)


if __name__ == "__main__":
    main()
