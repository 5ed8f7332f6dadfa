"""Queries that are documents too: what is left out of their results, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.beir import Beir
from pipeline.data.dataset import Dataset, Split
from pipeline.data.ir_datasets import IrDatasets
from pipeline.data.jsonl import JsonLines
from pipeline.data.remarks import remarks
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from tests.data.conftest import write_json_lines, write_text

DOCUMENTS = [("a", "An argument."), ("b", "Its rebuttal."), ("c", "Another one.")]
QUERIES = [("a", " an  Argument."), ("b", "Something else."), ("q", "Another one.")]


def dataset(removed, judgements=None) -> Dataset:
    graded = judgements or {"a": {"b": 1}, "b": {"c": 1}, "q": {"a": 1}}
    split = Split("test", Texts.from_pairs(DOCUMENTS), Texts.from_pairs(QUERIES), graded, {})
    return Dataset("arguments", {"test": split}, 1, removed, "f00d", {})


@pytest.mark.parametrize(
    ("removed", "positions", "sentences"),
    [
        (
            True,
            [0, 1, -1],
            [
                "A document with the query's own id, as in BEIR's own evaluation, is left out of its results; "
                "queries that have one: 2."
            ],
        ),
        (
            None,
            [0, -1, -1],
            [
                "A document with the query's own id and text is left out of its results; queries that have one: 1.",
                "Queries with the id of a document that stays in their results: 1.",
            ],
        ),
        (False, [-1, -1, -1], ["Queries with the id of a document that stays in their results: 2."]),
    ],
)
def test_what_is_left_out_is_said(removed, positions, sentences):
    found = dataset(removed)
    assert found.self_hits(found.split("test")).tolist() == positions
    assert remarks(found, found.split("test")) == sentences


def test_excluded_documents_are_left_out_beside_the_query_itself():
    found = dataset(True, {"a": {"b": 1}, "b": {"c": 1}, "q": {"a": 1, "c": 1}})
    split = replace(found.split("test"), excluded={"a": ["c", "N/A"], "q": ["b", "a"]})
    assert np.sort(found.unwanted(split)).tolist() == [[-1, 0, 2], [-1, -1, 1], [-1, 0, 1]]
    assert remarks(found, split)[-2:] == [
        "Documents that the dataset excludes from a query's results (excluded_ids): 3, for 2 queries.",
        "Of them judged relevant to the query: 1.",
    ]


def test_a_document_judged_relevant_to_its_own_text_stays_unless_beirs_rule_is_asked_for():
    judged = {"a": {"a": 1}, "b": {"b": 1}, "q": {"a": 1}}
    found = {removed: dataset(removed, judged) for removed in (None, True)}
    positions = {removed: one.self_hits(one.split("test")).tolist() for removed, one in found.items()}
    assert positions == {None: [-1, -1, -1], True: [0, 1, -1]}
    said = remarks(found[True], found[True].split("test"))
    assert "Queries whose own document is left out though it is judged relevant to them: 2." in said


def test_a_titled_document_is_the_query_with_or_without_its_title(opened, tmp_path):
    documents = [{"id": f"d{n}", "title": "Head", "text": f"Text {n}"} for n in range(3)]
    records = [
        {"id": "d0", "query": "Text 0", "document": documents[1]},
        {"id": "d1", "query": "Head text 1", "document": documents[2]},
        {"id": "d2", "query": "Head", "document": documents[0]},
    ]
    path = write_json_lines(tmp_path / "pairs.jsonl", records)
    found = opened(JsonLines(path=str(path), query_id="id"))
    split = found.split("test")
    assert split.documents.ids(found.self_hits(split)[:2]) == ["d0", "d1"]
    assert found.self_hits(split)[2] == -1


def test_beirs_layout_follows_beirs_evaluation_unless_told_otherwise(opened, beir_folder):
    with (beir_folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "d3", "text": "a query"}\n')
    write_text(beir_folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nd3\td4\t1\nq1\td1\t1\n")
    for setting, rule, positions in ((None, True, [-1, 3]), (True, True, [-1, 3]), (False, False, [-1, -1])):
        found = opened(Beir(path=str(beir_folder), remove_self_hits=setting))
        assert found.remove_self_hits is rule
        assert found.self_hits(found.split("test")).tolist() == positions


def test_ids_of_beir_follow_its_evaluation_wherever_they_come_from():
    assert IrDatasets(test="beir/arguana").as_beir
    assert not IrDatasets(train="beir/quora/dev", test="cranfield").as_beir


def test_a_rule_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"dataset\.remove_self_hits is often; it must be true, false or null"):
        JsonLines(path="pairs.jsonl", remove_self_hits="often")
