import pytest

from pipeline.data.jsonl import JsonLines
from pipeline.errors import UserError
from tests.data.conftest import write_json_lines

USUAL = {"train": 0.6, "validation": 0.2, "test": 0.2}


def test_equal_texts_are_one_text(opened, tmp_path):
    records = [{"q": f"question {n % 10}", "a": f"answer {n % 15}"} for n in range(30)]
    dataset = opened(JsonLines(path=str(write_json_lines(tmp_path / "pairs.jsonl", records)), query="q", document="a"))
    split = dataset.split("test")
    assert (len(split.queries), len(split.documents)) == (10, 15)
    assert all(len(grades) == 3 for grades in split.judgements.values())
    assert dataset.notes["repeated_queries"] == 20


def test_fields_of_every_kind(opened, tmp_path):
    records = [
        {
            "id": n,
            "q": f"question {n}",
            "positives": [{"docid": f"p{n}", "title": "A title", "text": f"positive {n}"}, f"bare positive {n}"],
            "negatives": [{"docid": f"n{n}", "text": f"negative {n}"}],
        }
        for n in range(5)
    ]
    source = JsonLines(
        path=str(write_json_lines(tmp_path / "a.jsonl", records)),
        query="q",
        document="positives",
        negative="negatives",
        query_id="id",
    )
    split = opened(source).split("test")
    assert split.queries.ids() == ["0", "1", "2", "3", "4"]
    assert split.hard_negatives["2"] == ["n2"]
    assert len(split.judgements["2"]) == 2
    assert split.documents.take(split.documents.positions(["p2"])) == ["A title positive 2"]


def test_named_ids_and_titles(opened, tmp_path):
    records = [{"query": f"q{n}", "document": f"text {n}", "head": "Head", "key": f"k{n}"} for n in range(3)]
    path = str(write_json_lines(tmp_path / "a.jsonl", records))
    split = opened(JsonLines(path=path, title="head", document_id="key")).split("test")
    assert split.documents.ids() == ["k0", "k1", "k2"]
    assert split.documents.take([1]) == ["Head text 1"]


def test_splits_are_made_by_query(opened, tmp_path):
    records = [{"query": f"question {n // 3}", "document": f"answer {n}"} for n in range(300)]
    dataset = opened(JsonLines(path=str(write_json_lines(tmp_path / "a.jsonl", records)), split=USUAL))
    assert sum(dataset.notes["queries"].values()) == 100
    assert sum(dataset.notes["judgements"].values()) == 300
    assert dataset.split("train").documents is dataset.split("test").documents


@pytest.mark.parametrize(
    ("record", "settings", "part"),
    [
        ({"question": "x", "answer": "y"}, {}, "line 1: there is no field 'query'; found are question, answer"),
        ({"query": " ", "document": "y"}, {}, "line 1: the query .* has no text"),
        ({"query": 7, "document": "y"}, {}, "line 1: the text is 7"),
        (
            {"query": "x", "document": ["a", "b"], "i": "1"},
            {"document_id": "i"},
            "line 1: one document id .* 2 documents",
        ),
        ({"query": "x", "document": {"title": "a"}}, {}, "line 1: there is no field 'text'"),
        ({"query": "x", "document": "y"}, {"negative": "bad"}, "line 1: there is no field 'bad'"),
        ({"query": "x", "document": None}, {}, "line 1: the text is None"),
    ],
)
def test_bad_records_are_placed(opened, tmp_path, record, settings, part):
    with pytest.raises(UserError, match=part):
        opened(JsonLines(path=str(write_json_lines(tmp_path / "a.jsonl", [record])), **settings))
