"""What a table says of its data."""

from pipeline.data.jsonl import JsonLines
from pipeline.data.remarks import remarks, without_relevant
from tests.data.conftest import write_json_lines


def test_whatever_was_left_out_or_merged_is_said_with_its_count(written):
    def write(writer):
        writer.document("d1", "text", where="x")
        for query, grade in (("q1", 1), ("q1", 1), ("q2", 0), ("q3", -1)):
            writer.judge("test", query, "d1", grade, where="x")
        for query in ("q1", "q2", "q3", "q4"):
            writer.query("test", query, f"query {query}", where="x")
        writer.count("questions_without_positive", 3)

    dataset = written(write)
    assert remarks(dataset, dataset.split("test")) == [
        "Of the whole dataset, repeated judgements, read once: 1; queries that nobody judged, left out: 1; questions "
        "without a relevant document, left out: 3.",
        "Queries without a document of grade 1 or more, which count 0: 2.",
    ]


def test_an_empty_list_of_answers_is_counted_and_said(opened, tmp_path):
    records = [{"query": f"q{n}", "document": [f"d{n}"] if n else []} for n in range(3)]
    dataset = opened(JsonLines(path=str(write_json_lines(tmp_path / "pairs.jsonl", records))))
    assert dataset.split("test").queries.take(slice(None)) == ["q1", "q2"]
    assert remarks(dataset, dataset.split("test")) == ["Of the whole dataset, queries that nobody judged, left out: 1."]


def test_shared_queries_and_a_limit_are_said(opened, tmp_path):
    def file(name, numbers):
        rows = [{"query": f"question {n}", "document": f"answer {n}"} for n in numbers]
        return str(write_json_lines(tmp_path / name, rows))

    source = JsonLines(
        train_path=file("train", range(5)), test_path=file("test", range(3, 9)), validation_share=0, limit=4
    )
    dataset = opened(source)
    assert remarks(dataset, dataset.split("test"))[:1] == [
        "Only 4 queries and so many documents beside the judged ones (dataset.limit)."
    ]
    assert "Queries of test that are queries of train too, by their ids or texts: 2." in remarks(
        dataset, dataset.split("test")
    )


def test_queries_that_earn_nothing_are_said_to_count_in_graded_measures_only_where_they_can():
    judgements = {"q1": {"d1": 1}, "q2": {"d1": 2}}
    assert without_relevant(judgements, 1) == []
    assert without_relevant(judgements, 2) == [
        "Queries without a document of grade 2 or more, which count 0 in all but graded measures: 1."
    ]
