"""Where a query's negatives come from, beside the documents of the other queries in its batch."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checks import whole_number
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import UserError
from pipeline.files import atomic_write, digest_of, locked
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.hits import reach


class Negatives(ABC):
    """A source of hard negatives.

    Attributes:
        count: Negatives drawn for each query and step.
    """

    count: int = 0

    @abstractmethod
    def candidates(self, dataset: Dataset, split: Split, lexical: Bm25, store: Path) -> np.ndarray | None:
        """Positions in the corpus of every query's candidates, [queries, depth], int64, -1 where there are fewer."""


class InBatch(Negatives):
    """None beside the documents of the other queries."""

    def candidates(self, dataset: Dataset, split: Split, lexical: Bm25, store: Path) -> None:
        """Need none."""
        return


class Given(Negatives):
    """The dataset's own hard negatives.

    Args:
        count: Negatives drawn for each query and step.
    """

    def __init__(self, count: int) -> None:
        self.count = whole_number("negatives.count", count)

    def candidates(self, dataset: Dataset, split: Split, lexical: Bm25, store: Path) -> np.ndarray:
        """Look the dataset's hard negatives up; what is no result of a query is no negative of it.

        Raises:
            UserError: When the dataset has none.
        """
        if not any(split.hard_negatives.values()):
            raise UserError(
                f"The {split.name} split of {dataset.name} has no hard negatives; use negatives=bm25 or negatives=in_batch."
            )
        given = [split.documents.positions(split.hard_negatives.get(query_id, [])) for query_id in split.queries.ids()]
        unwanted = dataset.unwanted(split)
        return _padded([each[~np.isin(each, no)] for each, no in zip(given, unwanted, strict=True)])


class Bm25Mined(Negatives):
    """Documents that BM25 ranks high for the query and that are not judged relevant.

    Args:
        count: Negatives drawn for each query and step.
        depth: How many results they are drawn from.
        skip: Results passed over at the top.
    """

    def __init__(self, count: int, depth: int, skip: int) -> None:
        self.count = whole_number("negatives.count", count)
        self.depth = whole_number("negatives.depth", depth)
        self.skip = whole_number("negatives.skip", skip, least=0)

    def candidates(self, dataset: Dataset, split: Split, lexical: Bm25, store: Path) -> np.ndarray:
        """Mine once for a corpus, its queries and these settings; later runs read what was mined."""
        lexical_key = lexical.build(split.documents, store)
        rules: list[Any] = [dataset.relevant_from, dataset.remove_self_hits, self.depth, self.skip]
        rules += [split.excluded] if split.excluded else []
        key = digest_of([lexical_key, split.queries.fingerprint, split.judgements, *rules])[:16]
        path = Path(store) / "negatives" / f"{key}.npy"
        with locked(path, f"the mined negatives of {dataset.name}"):
            if not path.exists():
                mined = self._mine(dataset, split, lexical)
                with atomic_write(path, "wb") as file:
                    np.save(file, mined, allow_pickle=False)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def _mine(self, dataset: Dataset, split: Split, lexical: Bm25) -> np.ndarray:
        # A query that is a document too is no negative of itself.
        unwanted, depth = dataset.unwanted(split), self.skip + self.depth
        mined = lexical.search(split.queries.take(slice(None)), reach(depth, unwanted, split.documents))
        hits = mined.without(unwanted, split.documents.empty).cut(depth)
        found, positives = [], dataset.positives(split)
        for query_id, positions in zip(split.queries.ids(), hits.positions[:, self.skip :], strict=True):
            relevant = split.documents.positions(positives.get(query_id, []))
            found.append(positions[~np.isin(positions, relevant)])
        return _padded(found)


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Stack rows of different lengths, filled up with -1."""
    padded = np.full((len(rows), max(1, *map(len, rows))), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
