"""Published curves of the linear probe, to see one's own beside."""

import csv
from functools import cache
from pathlib import Path

from pipeline.errors import UserError, nearest

# Yao, Wang and Zuccon, "Pre-training vs. Fine-tuning" (arXiv 2505.07166): accuracy by layer of all 64 probes.
FIGURES = Path(__file__).parent / "published_probes.csv"

Curve = dict[int, float]
"""From layer to accuracy."""


@cache
def published_probes() -> dict[str, dict[int, Curve]]:
    """Read all curves: by `dataset/pooling/model`, such as `nq/cls/bert`, then by number of candidates."""
    curves: dict[str, dict[int, Curve]] = {}
    with open(FIGURES, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['dataset']}/{row['pooling']}/{row['model']}"
            curve = curves.setdefault(name, {}).setdefault(int(row["passages"]), {})
            curve[int(row["layer"])] = float(row["accuracy"])
    return curves


def published_curves(name: str) -> dict[int, Curve]:
    """Give the curves of one model by number of candidates.

    Raises:
        UserError: When there are none of this name.
    """
    known = published_probes()
    if name not in known:
        raise UserError(f"probe.published: no curve of {name} was published; {nearest(name, known)}")
    return known[name]
