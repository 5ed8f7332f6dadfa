"""Negatives that BM25 mines: never what is relevant, nor the query itself, and made anew when either changes."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.negatives import Bm25Mined, Given

DOCUMENTS = [("a", "copper violin"), ("b", "copper violin lantern"), ("c", "copper harbour"), ("d", "violin meadow")]

LEXICAL = Bm25(1.2, 0.75, "lucene", "english", "english")


@pytest.fixture
def mined(tmp_path):
    """Give the ids of the negatives of the query `a`, whose text is the document `a`."""
    judgements = {"a": {"b": 2, "c": 1}}
    split = Split("train", Texts.from_pairs(DOCUMENTS), Texts.from_pairs(DOCUMENTS[:1]), judgements, {})
    dataset = Dataset("arguments", {"train": split}, 1, None, "f00d", {})

    def give(**changed) -> list[str]:
        excluded = replace(split, excluded=changed.pop("excluded", {}))
        found = Bm25Mined(1, 3, 0).candidates(replace(dataset, **changed), excluded, LEXICAL, tmp_path)
        return split.documents.ids(np.sort(found[0][found[0] >= 0]))

    return give


def test_a_query_that_is_a_document_is_no_negative_of_itself(mined):
    assert mined() == ["d"]
    assert "a" in mined(remove_self_hits=False)


def test_what_counts_as_relevant_is_part_of_what_was_mined(mined):
    assert mined() == ["d"]
    assert mined(relevant_from=2) == ["c", "d"]


def test_a_document_excluded_for_a_query_is_no_negative_of_it(mined, tmp_path):
    assert mined(relevant_from=2) == ["c", "d"]
    assert mined(relevant_from=2, excluded={"a": ["c", "N/A"]}) == ["d"]
    given = Split(
        "train", Texts.from_pairs(DOCUMENTS), Texts.from_pairs(DOCUMENTS[:1]), {"a": {"b": 1}}, {"a": ["c", "d"]}
    )
    dataset = Dataset("arguments", {"train": given}, 1, None, "f00d", {})
    found = Given(1).candidates(dataset, replace(given, excluded={"a": ["c"]}), LEXICAL, tmp_path)
    assert found.tolist() == [[3]]
