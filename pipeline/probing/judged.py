"""The queries that a probe looks at, with documents that answer them."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.probing.probe import Probe, Subject


@dataclass(frozen=True)
class Judged:
    """Queries that have an answer.

    Attributes:
        positions: Of the queries in the split, ascending.
        queries: The queries.
        positives: Position in the split's documents of one document that answers each, int64 [queries].
    """

    positions: np.ndarray
    queries: Texts
    positives: np.ndarray


def judged(probe: Probe, subject: Subject, least: int) -> Judged:
    """Choose a probe's queries, those without an answer left out.

    Args:
        probe: Says how many.
        subject: Of whose split.
        least: How many are needed.

    Raises:
        UserError: When there are fewer.
    """
    split = subject.split
    answers = subject.dataset.positives(split)
    chosen = probe.chosen_queries(split)
    ids = split.queries.ids(chosen)
    kept = np.array([place for place, query in enumerate(ids) if query in answers], dtype=np.int64)
    if len(kept) < least:
        raise UserError(
            f"probe={probe.name} needs {least} queries with a relevant document, and of the {len(ids):,} chosen from the"
            f" {split.name} split of {subject.dataset.name} {len(kept):,} have one; raise probe.limit or choose another"
            " split."
        )
    positives = split.documents.positions(answers[ids[place]][0] for place in kept)
    return Judged(chosen[kept], split.queries.select(chosen[kept]), positives)
