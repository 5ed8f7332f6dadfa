import gzip
import json
from pathlib import Path

import pytest

from pipeline.data.squad import Squad
from pipeline.errors import UserError
from tests.data.conftest import write_text

HALVES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def article(number, impossible=False):
    return {
        "title": f"Caf%C3%A9_number_{number}",
        "paragraphs": [
            {
                "context": f"Paragraph {part} of article {number}.",
                "qas": [
                    {"id": f"{number}-{part}-{q}", "question": f"Question {q}?", "answers": [{"text": "Paragraph"}]}
                    | ({"is_impossible": q == 1} if impossible else {})
                    for q in range(2)
                ],
            }
            for part in range(3)
        ],
    }


def squad_file(path, numbers, **settings):
    return str(write_text(path, json.dumps({"version": "1.1", "data": [article(n, **settings) for n in numbers]})))


def test_questions_find_their_paragraphs(opened, tmp_path):
    dataset = opened(Squad(path=squad_file(tmp_path / "dev.json", range(30)), split=HALVES))
    assert dataset.name == "dev"
    assert dataset.notes["documents"] == dict.fromkeys(HALVES, 90)
    articles = []
    for split in dataset.splits.values():
        for query, grades in split.judgements.items():
            [document] = grades
            number, part, _ = query.split("-")
            text = split.documents.take(split.documents.positions([document]), ": ")
            assert text == [f"Café number {number}: Paragraph {part} of article {number}."]
        articles.append({query.split("-")[0] for query in split.judgements})
    assert not articles[0] & articles[1] and not articles[1] & articles[2] and not articles[0] & articles[2]
    assert len(set().union(*articles)) == 30


def test_unanswerable_questions_are_dropped_and_counted(opened, tmp_path):
    dataset = opened(Squad(path=squad_file(tmp_path / "v2.json", range(4), impossible=True)))
    assert dataset.notes["queries"] == {"test": 12}
    assert dataset.notes["unanswerable_questions"] == 12
    assert dataset.notes["documents"] == {"test": 12}


def test_an_empty_list_of_answers_is_none_whatever_else_is_said(opened, tmp_path):
    """So the reference evaluation of version 2 tells questions without an answer."""
    whole = {"data": [article(0)]}
    whole["data"][0]["paragraphs"][0]["qas"][0]["answers"] = []
    dataset = opened(Squad(path=str(write_text(tmp_path / "a.json", json.dumps(whole)))))
    assert dataset.notes["queries"] == {"test": 5}
    assert dataset.notes["unanswerable_questions"] == 1


def test_files_may_be_many_and_share_paragraphs(opened, tmp_path):
    first = squad_file(tmp_path / "a.json", range(20))
    second = squad_file(tmp_path / "b.json", range(20, 25))
    dataset = opened(Squad(train_path=first, test_path=[second]))
    assert dataset.notes["documents"]["test"] == 75
    assert {query.split("-")[0] for query in dataset.split("test").judgements} == {"20", "21", "22", "23", "24"}
    assert "validation" in dataset.splits
    again = squad_file(tmp_path / "c.json", range(20))
    whole, twice = opened(Squad(path=first)).notes, opened(Squad(path=[first, again])).notes
    assert twice["queries"] == whole["queries"] and twice["repeated_queries"] == whole["queries"]["test"]


@pytest.mark.parametrize("packed", [False, True])
def test_marks_and_packed_files_are_read(opened, tmp_path, packed):
    plain = Path(squad_file(tmp_path / "a.json", range(3)))
    data = b"\xef\xbb\xbf" + plain.read_bytes()
    (tmp_path / "b.json").write_bytes(gzip.compress(data) if packed else data)
    assert opened(Squad(path=str(tmp_path / "b.json"))).fingerprint == opened(Squad(path=str(plain))).fingerprint


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"data": [}', "line 1: malformed JSON"),
        ('{"articles": []}', "'data'; found are articles"),
        ('{"data": {"a": 1}}', "SQuAD's layout"),
        ("[1]", "SQuAD's layout"),
        ('{"data": [{"title": "t", "paragraphs": [{"text": "x", "qas": []}]}]}', "article 1, paragraph 1.*'context'"),
        (
            '{"data": [{"title": "t", "paragraphs": [{"context": "x", "qas": [{"id": 1}]}]}]}',
            "'question'; found are id",
        ),
        ('{"data": [{"title": "t", "paragraphs": [{"context": null, "qas": []}]}]}', "text is None"),
        ('{"data": []}', "no documents"),
    ],
)
def test_bad_files_are_one_sentence(opened, tmp_path, text, part):
    with pytest.raises(UserError, match=part):
        opened(Squad(path=str(write_text(tmp_path / "bad.json", text))))
