"""Tokens a second: MiniLM over 512 documents of at most 256 tokens, beside sentence-transformers."""

import logging
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.timing import print_rates, turn_by_turn
from pipeline.data.python_docs import PythonDocs
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import MiniLM
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import AsSaved

DOCUMENTS, ROUNDS = 512, 5


def documents() -> list[str]:
    """Take documents of the embedded dataset, evenly over the whole of it."""
    corpus = open_dataset(PythonDocs(), Path("outputs/tables")).split("test").documents
    return corpus.take(np.linspace(0, len(corpus) - 1, DOCUMENTS).astype(np.int64))


def main() -> None:
    """Time both sides turn by turn and compare their vectors."""
    logging.disable(logging.WARNING)
    texts = documents()
    tower = build_tower(MiniLM(), AsSaved(), EncoderSettings(), "document", 0)
    folder = str(MiniLM().folder("document"))
    theirs = SentenceTransformer(folder, device="cpu")
    theirs_bf16 = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    settings = {name: EncodingSettings(precision=name, device="cpu") for name in ("float32", "bfloat16")}
    ways = {
        "ours, bfloat16": lambda: encode(tower, texts, "document", settings["bfloat16"]),
        "ours, float32": lambda: encode(tower, texts, "document", settings["float32"]),
        "sentence-transformers, bfloat16": lambda: theirs_bf16.encode(texts),
        "sentence-transformers, float32 (its default)": lambda: theirs.encode(texts),
    }
    tokens = sum(map(len, tower.token_ids(texts, "document")))
    seconds = turn_by_turn(ways, ROUNDS)
    print(f"{DOCUMENTS} documents, {tokens:,} tokens, {torch.get_num_threads()} threads")
    for ours in ("ours, bfloat16", "ours, float32"):
        print_rates(f"Encoding, beside {ours}", seconds, tokens, "tokens", ours)
    reference = theirs.encode(texts)
    for name in ("ours, bfloat16", "ours, float32", "sentence-transformers, bfloat16"):
        vectors = ways[name]().astype(np.float64)
        cosines = (vectors * reference).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(reference, axis=1)
        print(
            f"{name}: cosine with sentence-transformers in float32 {cosines.min():.5f} at least, {cosines.mean():.5f} mean"
        )


if __name__ == "__main__":
    main()
