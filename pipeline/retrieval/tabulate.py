"""Encoding texts into a table: resumable by block, shared between runs, with the time that is left."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.tower import Tower
from pipeline.errors import UserError
from pipeline.files import locked
from pipeline.progress import progress
from pipeline.retrieval.blocks import Description, is_finished
from pipeline.retrieval.table import Table, first_not_finite
from pipeline.retrieval.table_writer import TableWriter

SAMPLED_TEXTS = 200
"""Texts that are tokenised to learn how many tokens a character makes, for the estimate of the time left."""


def tabulate(tower: Tower, texts: Texts, kind: Kind, settings: EncodingSettings, store: Path, label: str) -> Table:
    """Give the vectors of all texts, encoding only what no earlier run has encoded.

    Args:
        tower: The frozen encoder.
        texts: What to encode; the table's rows are in their order.
        kind: Whether they are queries or documents to the tower, which may have another prompt for each.
        settings: Precision, batching and device. Only the precision is part of the table's key: how texts are
            batched, and on which device, moves a vector by rounding at most.
        store: The folder shared between runs; the table lies in `vectors/<key>` there.
        label: What is encoded, for people: `documents`, `test queries`.

    Returns:
        The table, every block of it checked.

    Raises:
        UserError: When there is no text, a vector is not finite, the disk is full or the table on disk is damaged.
    """
    if not len(texts):
        raise UserError(f"There are no {label} to encode; check the dataset.")
    folder, description = _place(tower, texts, kind, settings, store)
    if is_finished(folder):
        settings.tally.looked_up(len(texts))
    else:
        with locked(folder, f"the vectors of the {label}"):
            writer = TableWriter(folder, description)
            settings.tally.looked_up(min(len(texts), writer.finished * description.block_rows))
            _write_missing(writer, tower, texts, kind, settings, label)
    return Table.open(folder)


def is_tabulated(tower: Tower, texts: Texts, kind: Kind, settings: EncodingSettings, store: Path) -> bool:
    """Tell whether `tabulate` has nothing left to encode; a table made by another tower, or of other texts, is another."""
    return is_finished(_place(tower, texts, kind, settings, store)[0])


def _place(tower: Tower, texts: Texts, kind: Kind, settings: EncodingSettings, store: Path) -> tuple[Path, Description]:
    """Say where a table lies, under a key made of all that determines it, and what it is made from."""
    made_from = {"tower": tower.fingerprint(kind), "texts": texts.fingerprint, "precision": settings.precision}
    description = Description(len(texts), tower.dimension, settings.window, made_from)
    return Path(store) / "vectors" / description.key, description


def _write_missing(
    writer: TableWriter, tower: Tower, texts: Texts, kind: Kind, settings: EncodingSettings, label: str
) -> None:
    """Encode and write the blocks that are not there yet."""
    description = writer.description
    if writer.finished == description.blocks:
        return
    encoder = Encoder(tower, settings)
    tokens = estimated_tokens(tower, texts, kind)
    left = int(tokens[description.rows_of(writer.finished).start :].sum())
    with progress(f"Encoding {label}", left, "tokens") as advance:
        for block in range(writer.finished, description.blocks):
            rows = description.rows_of(block)
            steps = _Steps(int(tokens[rows].sum()), advance)
            truncated = tower.truncated
            vectors = encoder.encode(texts.take(rows, tower.title_separator), kind, steps.advance)
            _require_finite(vectors, texts, rows, label)
            writer.append(vectors, tower.truncated - truncated)
            steps.finish()


def estimated_tokens(tower: Tower, texts: Texts, kind: Kind) -> np.ndarray:
    """Estimate how many tokens each text makes, from its characters and the tokens of a few texts.

    Tokenising ten million texts only to say how long they take would itself take minutes.

    Returns:
        int64 `[texts]`, each at least 1 and at most the tower's maximum length.
    """
    characters = np.maximum(texts.lengths(), 1).astype(np.int64)
    sample = np.unique(np.linspace(0, len(texts) - 1, SAMPLED_TEXTS).astype(np.int64))
    truncated = tower.truncated
    sampled = np.array([len(ids) for ids in tower.token_ids(texts.take(sample, tower.title_separator), kind)])
    tower.truncated = truncated  # the sample is tokenised once more when it is encoded, and counts then
    whole = sampled < tower.max_length
    ratio = sampled[whole].sum() / characters[sample][whole].sum() if whole.any() else 0.25
    return np.clip(np.ceil(characters * ratio), 1, tower.max_length).astype(np.int64)


class _Steps:
    """Counts one block's tokens: never beyond its estimate while it runs, and exactly that at its end."""

    def __init__(self, estimate: int, advance: Callable[[int], None]) -> None:
        self._left = estimate
        self._advance = advance

    def advance(self, tokens: int) -> None:
        counted = min(tokens, self._left)
        self._left -= counted
        self._advance(counted)

    def finish(self) -> None:
        self.advance(self._left)


def _require_finite(vectors: np.ndarray, texts: Texts, rows: slice, label: str) -> None:
    """Refuse NaN before it gets into a table, where it would spoil every ranking silently."""
    unfit = first_not_finite(vectors)
    if unfit is not None:
        text_id = texts.ids([rows.start + unfit])[0]
        raise UserError(
            f"The vector of {text_id} (among the {label}) is not finite; the weights are broken or the precision is"
            " too low: try encoding.precision=float32."
        )
