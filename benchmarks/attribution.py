"""Seconds a text and completeness of attribution by every rule, and its peer: the published way written plainly.

`python -m benchmarks.attribution [TEXTS [FOLDER …]]`: of how many texts of 64 tokens, and of which causal models beside
MiniLM and, where it is installed, SmolLM2. The gap is that between the sum of attributions and P(1) - P(0), relative to it.
"""

import sys
import time

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.encode import documents
from benchmarks.published_attribution import published
from benchmarks.timing import print_rates, turn_by_turn
from pipeline.encoders.backbones import Backbone, Llama, MiniLM, SmolLM2
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.pooling import Last, Mean, Pooling
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.probing.attribution.integrated_gradients import Attribution, Attributor
from pipeline.probing.attribution.quadrature import Adaptive, GaussLegendre, Published, Quadrature
from pipeline.probing.attribution.targets import Norm

TOKENS, ROUNDS = 64, 1
TEXTS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
FOLDERS = sys.argv[2:]
RULES: tuple[Quadrature, ...] = (Published(), GaussLegendre(), Adaptive())


def main() -> None:
    """Compare with the peer on MiniLM, and the rules with each other on all models."""
    compare_with_peer()
    models: list[tuple[Backbone, Pooling]] = [(MiniLM(), Mean()), *((Llama(folder), Last()) for folder in FOLDERS)]
    for backbone, pooling in [*models, (SmolLM2(), Last())]:
        try:
            compare_rules(backbone, pooling)
        except UserError as error:
            print(f"{backbone.name} is left out: {error}")


def opened(backbone: Backbone, pooling: Pooling, count: int) -> tuple[TransformerTower, list[list[int]]]:
    """Open a model, and give texts that fill 64 of its tokens."""
    tower = build_tower(backbone, pooling, EncoderSettings(max_length=TOKENS), "document", 0).eval()
    return tower, [text for text in tower.token_ids(documents(), "document") if len(text) == TOKENS][:count]


def compare_with_peer() -> None:
    """Time the published way and ours on one text turn by turn, and compare what they find."""
    tower, (text,) = opened(MiniLM(), Mean(), 1)
    model = AutoModel.from_pretrained(str(MiniLM().folder("document"))).eval()
    attributor = Attributor(tower, torch.device("cpu"))
    ways = {
        "ours": lambda: attributor.attribute([text], Published(), Norm()),
        "published way": lambda: published(model, text, "mean"),
    }
    print(f"{TOKENS} tokens, {torch.get_num_threads()} threads")
    print_rates("Attributing by 20 points, texts", turn_by_turn(ways, ROUNDS), 1, "texts", "ours")
    ours = _flat(attributor.attribute([text], Published(), Norm()))
    plain = np.concatenate([part.detach().numpy() for part in published(model, text, "mean")])
    print(f"relative difference {np.linalg.norm(ours - plain) / np.linalg.norm(plain):.1e}\n")


def compare_rules(backbone: Backbone, pooling: Pooling) -> None:
    """Print how complete every rule is, at how many points, and how long a text takes."""
    tower, ids = opened(backbone, pooling, TEXTS)
    attributor = Attributor(tower, torch.device("cpu"))
    print(f"{backbone.path or backbone.name}, {len(ids)} texts")
    for rule in RULES:
        start = time.perf_counter()
        found = attributor.attribute(ids, rule, Norm())
        seconds = (time.perf_counter() - start) / len(ids)
        whole = np.abs(found.total - found.difference).sum() / np.abs(found.difference).sum()
        tail, worst = np.quantile(found.gap, 0.95), found.gap.max()
        print(
            f"  {rule.name}: gap {np.median(found.gap):.2%} (median), {tail:.1%} (95%), {worst:.1%} (worst), {whole:.1%} of"
            f" all differences together; above 2% {(found.gap > 0.02).mean():.1%} of texts and sub-layers;"
            f" {found.points.mean():.1f} points, at most {found.points.max()}; {seconds:.1f} s a text",
            flush=True,
        )


def _flat(found: Attribution) -> np.ndarray:
    """Give the attributions of the first text in the order of the published way."""
    layers = zip(found.inner[0], found.outer[0], strict=True)
    return np.concatenate([part for pair in layers for part in pair])


if __name__ == "__main__":
    main()
