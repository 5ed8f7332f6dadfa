"""Which texts are trained on, and which are held out: a matter of their hashes, whatever else is in the corpus."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset
from pipeline.data.lookup import hash_of
from pipeline.data.normal_form import normal_form
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.training.pretraining.held_out import LEAST_TEXTS
from pipeline.training.pretraining.stage import MaskedLanguageModelling

SALT = b"held out"
TEXTS_AT_ONCE = 4096


@dataclass(frozen=True)
class Division:
    """The texts of a pre-training.

    Attributes:
        trained: What is trained on.
        held_out: What is measured on.
    """

    trained: Texts
    held_out: list[str]


def divide(dataset: Dataset, stage: MaskedLanguageModelling, separator: str) -> Division:
    """Divide the documents of a dataset; equal texts fall on one side.

    Args:
        dataset: Has the stage's split.
        stage: Says how much is held out.
        separator: Stands between a title and its text.

    Raises:
        UserError: When a split is missing, or too few texts are left for either side.
    """
    documents = dataset.split(stage.split).documents
    hashes = _hashes(documents, separator)
    if stage.held_out_split is None:
        others, outside = documents, hashes < np.uint64(int(stage.held_out_share * 2**64))
        trained = documents.select(np.flatnonzero(~outside))
        held_out_hashes, more = hashes, "raise stage.held_out_share, or give more texts"
    else:
        others, trained = dataset.split(stage.held_out_split).documents, documents
        held_out_hashes = _hashes(others, separator)
        outside, more = ~np.isin(held_out_hashes, hashes), "choose another stage.held_out_split"
    places = np.flatnonzero(outside)
    # The lowest hashes are a random sample that stays the same when texts are added.
    places = places[np.argsort(held_out_hashes[places], kind="stable")][: stage.held_out_texts]
    if len(places) < LEAST_TEXTS:
        raise UserError(
            f"Of the {len(others):,} texts of {dataset.name}, {len(places)} are held out, and a loss on fewer than "
            f"{LEAST_TEXTS} says nothing; {more}."
        )
    if not len(trained):
        raise UserError(f"No text of {dataset.name} is left to train on; lower stage.held_out_share.")
    return Division(trained, others.take(places, separator))


def _hashes(texts: Texts, separator: str) -> np.ndarray:
    """Hash texts, uint64 [texts]; those that differ in white space or case alone are one."""
    found = np.empty(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        chunk = texts.take(slice(start, start + TEXTS_AT_ONCE), separator)
        found[start : start + len(chunk)] = [hash_of(normal_form(text), SALT) for text in chunk]
    return found
