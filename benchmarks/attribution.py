"""Milliseconds a text to attribute MiniLM's neurons over texts of 64 tokens, beside the published way written plainly.

Errors are of the attributions of all sub-layers, relative, against 64 Gauss-Legendre points.
"""

import sys

import numpy as np
import torch

from benchmarks.encode import documents
from benchmarks.published_attribution import published
from benchmarks.timing import print_rates, turn_by_turn
from pipeline.encoders.backbones import MiniLM
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.pooling import AsSaved
from pipeline.probing.attribution.integrated_gradients import Attribution, Attributor
from pipeline.probing.attribution.quadrature import GaussLegendre, Quadrature, Riemann
from pipeline.probing.attribution.targets import Norm

TOKENS, ROUNDS = 64, 3
TEXTS = int(sys.argv[1]) if len(sys.argv) > 1 else 16
"""Attributed together; the published way takes one at a time, and is timed on one."""


def main() -> None:
    """Time all ways turn by turn, and compare what they find."""
    tower = build_tower(MiniLM(), AsSaved(), EncoderSettings(max_length=TOKENS), "document", 0).eval()
    ids = [text for text in tower.token_ids(documents(), "document") if len(text) == TOKENS][:TEXTS]
    attributor = Attributor(tower, torch.device("cpu"))

    def ours(quadrature: Quadrature, texts: int = TEXTS) -> Attribution:
        return attributor.attribute(ids[:texts], quadrature, Norm())

    ways = {
        "Gauss-Legendre, 6 points": lambda: ours(GaussLegendre(6)),
        "Riemann, 20 points": lambda: ours(Riemann(20)),
        "Gauss-Legendre, 6 points, one text": lambda: ours(GaussLegendre(6), 1),
        "published way, one text": lambda: published(tower, ids[0]),
    }
    texts = {name: 1 if name.endswith("one text") else TEXTS for name in ways}
    seconds = turn_by_turn(ways, ROUNDS)
    print(f"{TEXTS} texts of {TOKENS} tokens, {torch.get_num_threads()} threads")
    each = {name: [value / texts[name] for value in values] for name, values in seconds.items()}
    print_rates("Attributing, texts", each, 1, "texts", "Gauss-Legendre, 6 points")
    print_rates("Attributing, beside 20 points", each, 1, "texts", "Riemann, 20 points")
    for name, values in each.items():
        print(f"{name}: {1000 * float(np.median(values)):,.0f} ms a text")
    plain = np.concatenate([part.detach().numpy() for part in published(tower, ids[0])])
    exact, riemann, gauss = (_flat(ours(rule, 1)) for rule in (GaussLegendre(64), Riemann(20), GaussLegendre(6)))
    print(f"20 points, ours against the published way: relative difference {_error(riemann, plain):.1e}")
    print(
        f"error of 20 Riemann points {_error(riemann, exact):.1e}, of 6 Gauss-Legendre points {_error(gauss, exact):.1e}"
    )


def _flat(found: Attribution) -> np.ndarray:
    """Give the attributions of the first text in the order of the published way."""
    layers = zip(found.inner[0], found.outer[0], strict=True)
    return np.concatenate([part for pair in layers for part in pair])


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


if __name__ == "__main__":
    main()
