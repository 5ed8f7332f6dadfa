"""Training examples: queries, documents, and which document each query shall find."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.data.joined import JoinedTexts
from pipeline.data.texts import Texts


@dataclass(frozen=True)
class Examples:
    """What batches are drawn from.

    Attributes:
        name: Where they come from, for messages: `train split of nq`.
        queries: Texts for the query tower, Q of them.
        documents: Texts for the document tower.
        positives: Positions of each query's relevant documents, Q arrays.
        negatives: Positions of each query's negative candidates, [Q, depth], int64, -1 where there are fewer; or None.
        negatives_count: Negatives drawn for each query and step.
        unwanted: Positions of documents that are no results of each query, so no negatives either, int64
            [Q, most of any query], filled with -1; or None.
    """

    name: str
    queries: Texts | JoinedTexts
    documents: Texts | JoinedTexts
    positives: list[np.ndarray]
    negatives: np.ndarray | None = None
    negatives_count: int = 0
    unwanted: np.ndarray | None = None


def labelled(dataset: Dataset, split: Split, negatives: np.ndarray | None = None, count: int = 0) -> Examples:
    """Take a split's queries with the documents that are judged relevant for them."""
    name = f"{split.name} split of {dataset.name}"
    positives, unwanted = positive_positions(dataset, split), dataset.unwanted(split)
    return Examples(name, split.queries, split.documents, positives, negatives, count, unwanted)


def positive_positions(dataset: Dataset, split: Split) -> list[np.ndarray]:
    """Positions of each query's relevant documents, in the order of the queries."""
    positives = dataset.positives(split)
    return [split.documents.positions(positives.get(query_id, [])) for query_id in split.queries.ids()]
