"""Published figures of light query encoders, to see one's own beside."""

import csv
from dataclasses import dataclass
from pathlib import Path

# Leonhardt et al., from the authors' slides: BERT miniatures as query encoders beside a BERT-base document encoder,
# MS MARCO dev, re-ranking interpolated with BM25, CPU seconds for a batch of 256 queries; 0 layers is a look-up.
FIGURES = Path(__file__).parent / "published" / "light_query_encoders.csv"
BATCH = 256


@dataclass(frozen=True)
class PublishedEncoder:
    """One query encoder of the grid.

    Attributes:
        layers: Of its transformer.
        width: Of its token states.
        ndcg: nDCG@10.
        milliseconds: For one query of a batch, encoding only.
    """

    layers: int
    width: int
    ndcg: float
    milliseconds: float


def published_grid() -> list[PublishedEncoder]:
    """Read the grid, from the look-up to the largest."""
    with open(FIGURES, encoding="utf-8", newline="") as file:
        return [
            PublishedEncoder(
                int(row["layers"]),
                int(row["hidden"]),
                float(row["ndcg10_msmarco_dev"]),
                float(row["cpu_seconds_per_batch_of_256"]) * 1000 / BATCH,
            )
            for row in csv.DictReader(file)
        ]


def scaled_grid(ndcg: float, milliseconds: float) -> list[PublishedEncoder]:
    """Scale both figures of all encoders so that the largest, 12 layers of 768, has the given ones."""
    grid = published_grid()
    largest = max(grid, key=lambda encoder: (encoder.layers, encoder.width))
    return [
        PublishedEncoder(
            encoder.layers,
            encoder.width,
            encoder.ndcg / largest.ndcg * ndcg,
            encoder.milliseconds / largest.milliseconds * milliseconds,
        )
        for encoder in grid
    ]
