"""What is there twice: queries in two splits, and texts under an id that another text has already."""

from itertools import combinations

import numpy as np

from pipeline.data.lookup import hashes_of
from pipeline.data.normal_form import normal_form
from pipeline.data.text_file import TextFile

ROWS_AT_ONCE = 8192


def queries_also_in(queries: dict[str, TextFile]) -> dict[str, dict[str, int]]:
    """Count the queries of each split that are queries of an earlier one too, by their ids or by their texts.

    Args:
        queries: By split, in the splits' order.

    Returns:
        From split to earlier split to the count, where there is one.
    """
    known = {name: _hashes(file) for name, file in queries.items()}
    shared: dict[str, dict[str, int]] = {}
    for earlier, later in combinations(known, 2):
        again = [np.isin(mine, theirs) for mine, theirs in zip(known[later].T, known[earlier].T, strict=True)]
        if count := int(np.any(again, axis=0).sum()):
            shared.setdefault(later, {})[earlier] = count
    return shared


def unlike(file: TextFile, repeated: np.ndarray) -> np.ndarray:
    """Find repetitions of an id that come with another text than the first.

    Args:
        file: The texts.
        repeated: Positions of a repetition and of the first, int64 [repetitions, 2].

    Returns:
        bool [repetitions].
    """
    found = [
        later != first
        for start in range(0, len(repeated), ROWS_AT_ONCE)
        for later, first in zip(*(_forms(file, at) for at in repeated[start : start + ROWS_AT_ONCE].T), strict=True)
    ]
    return np.array(found, dtype=bool)


def _forms(file: TextFile, positions: np.ndarray) -> list[str]:
    titles, texts = file.columns(positions, ["title", "text"])
    return [normal_form(f"{title} {text}") for title, text in zip(titles, texts, strict=True)]


def _hashes(file: TextFile) -> np.ndarray:
    """Hash texts by their ids and by their normal forms: uint64 [texts, 2]."""
    found = np.empty((len(file), 2), dtype=np.uint64)
    for start in range(0, len(file), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(file)))
        ids, texts = file.columns(rows, ["id", "text"])
        found[rows, 0], found[rows, 1] = hashes_of(ids), hashes_of(map(normal_form, texts))
    return found
