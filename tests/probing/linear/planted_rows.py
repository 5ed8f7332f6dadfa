"""Rows with states in which something was planted."""

import numpy as np
import torch

from pipeline.probing.linear.data import RowData, Scaling

CANDIDATES = (2, 3)


def planted_rows(
    rows: int, *, matching: float = 0.0, prior: float = 0.0, layers: int = 1, width: int = 8, seed: int = 0
) -> RowData:
    """Make rows of normal states.

    Args:
        rows: How many; each has texts of its own.
        matching: How much of its question a positive repeats.
        prior: How far every positive is moved in one direction, whatever the question.
        layers: The last of which is planted; the others are noise.
        width: Of the states.
        seed: Of everything drawn.
    """
    generator = np.random.default_rng(seed)
    most = max(CANDIDATES)
    queries = generator.standard_normal((layers, rows, width), dtype=np.float32)
    documents = generator.standard_normal((layers, rows * most, width), dtype=np.float32)
    # No longer than the others: length alone must not give positives away.
    documents[-1, ::most] = (documents[-1, ::most] + matching * queries[-1]) / (1 + matching**2) ** 0.5
    documents[-1, ::most, 0] += prior
    orders = {n: torch.from_numpy(np.argsort(generator.random((rows, n)), axis=1)) for n in CANDIDATES}
    return RowData(
        torch.from_numpy(queries),
        torch.from_numpy(documents),
        torch.arange(rows),
        torch.arange(rows * most).view(rows, most),
        orders,
        {n: order[torch.arange(rows), torch.from_numpy(generator.integers(0, n, rows))] for n, order in orders.items()},
    )


def scaled(*parts: RowData) -> list[RowData]:
    """Standardise all by the first."""
    scaling = Scaling.of(parts[0])
    return [part.scaled(scaling) for part in parts]
