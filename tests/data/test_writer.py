import shutil

import numpy as np
import pytest

from pipeline.data import pair_file
from pipeline.errors import UserError


def complete(writer, **changes):
    """Two documents and one judged query; a test changes one thing."""
    writer.document("d1", "first text", where="corpus, line 1")
    writer.document("d2", "second text", "a title", where="corpus, line 2")
    writer.query("test", "q1", "a query", where="queries, line 1")
    writer.judge("test", "q1", "d1", 1, where="qrels, line 1")


def test_everything_written_is_read(written):
    dataset = written(complete)
    split = dataset.split("test")
    assert split.documents.take([0, 1]) == ["first text", "a title second text"]
    assert split.queries.ids() == ["q1"]
    assert split.judgements == {"q1": {"d1": 1}}
    assert split.hard_negatives == {}
    assert dataset.notes["documents"] == {"test": 2}


def refused(written, change, before=complete, **settings):
    def write(writer):
        before(writer)
        change(writer)

    with pytest.raises(UserError) as caught:
        written(write, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda w: w.document("d1", "again", where="x 9"),
            ["x 9: the id 'd1' has another text than in corpus, line 1"],
        ),
        (
            lambda w: w.query("test", "q1", "again", where="x"),
            ["x: the id 'q1' has another text than in queries, line 1"],
        ),
        (lambda w: w.query("test", "q2", "\n", where="queries, line 2"), ["queries, line 2", "'q2'", "no text"]),
        (lambda w: w.document("d 3", "text", where="corpus, line 3"), ["corpus, line 3", "'d 3'", "white space"]),
        (lambda w: w.document("", "text", where="corpus, line 3"), ["corpus, line 3", "id"]),
        (lambda w: w.document(3, "text", where="corpus, line 3"), ["corpus, line 3", "id is 3"]),
        (lambda w: w.document("d3", None, where="corpus, line 3"), ["corpus, line 3", "text is None"]),
        (lambda w: w.document("d3", "a", 7, where="corpus, line 3"), ["corpus, line 3", "title is 7"]),
        (lambda w: w.document("d3", "\ud800", where="corpus, line 3"), ["corpus, line 3", "surrogate"]),
        (lambda w: w.judge("test", "q1", "d2", "high", where="qrels, line 2"), ["qrels, line 2", "'high'", "whole"]),
        (lambda w: w.judge("test", "q1", "d2", 0.5, where="qrels, line 2"), ["qrels, line 2", "0.5"]),
        (lambda w: w.judge("test", "q1", "d2", "inf", where="qrels, line 2"), ["qrels, line 2", "'inf'"]),
        (lambda w: w.judge("test", "q1", None, 1, where="qrels, line 2"), ["qrels, line 2", "document id is None"]),
        (
            lambda w: w.judge("test", "q1", "d1", 2, where="qrels, line 2"),
            ["qrels, line 2: document 'd1' is judged 2 for query 'q1', and 1 in qrels, line 1"],
        ),
        (lambda w: w.split("training"), ["'training'", "train, validation, test"]),
        (lambda w: w.split("validation"), ["validation", "no queries"]),
        (lambda w: w.query("train", "q2", "query", where="x"), ["train", "no judgements"]),
        (lambda w: w.split("test", "elsewhere"), ["test", "no documents"]),
    ],
)
def test_bad_input_is_one_sentence(written, change, parts):
    message = refused(written, change)
    assert all(part in message for part in parts), message


def test_empty_datasets_are_refused(written):
    assert "no documents" in refused(written, lambda writer: None, before=lambda writer: None)
    only = refused(written, lambda w: w.document("d", "t", where="x"), before=lambda writer: None)
    assert "no judged queries" in only


def test_nothing_is_left_of_a_refused_dataset(written, store):
    refused(written, lambda w: w.document("d1", "again", where="x"))
    assert [path.name for path in (store / "datasets").iterdir() if path.is_dir()] == []


def test_grades_may_be_written_as_decimals_and_below_zero(written):
    def write(writer):
        complete(writer)
        writer.judge("test", "q1", "d2", "-1.0", where="x")

    assert written(write).split("test").judgements == {"q1": {"d1": 1, "d2": -1}}


def test_a_judgement_given_twice_counts_once(written):
    def write(writer):
        complete(writer)
        writer.judge("test", "q1", "d1", 1, where="x")

    assert written(write).notes["judgements"] == {"test": 1}


def test_unjudged_queries_are_left_out_and_counted(written):
    def write(writer):
        writer.query("test", "q0", "not judged", where="x")
        complete(writer)
        writer.query("test", "q2", "not judged", where="x")
        writer.query("test", "q3", "judged", where="x")
        writer.judge("test", "q3", "d2", 1, where="x")
        writer.hard_negative("test", "q0", "d1", where="x")
        writer.hard_negative("test", "q3", "d1", where="x")

    dataset = written(write)
    split = dataset.split("test")
    assert split.queries.ids() == ["q1", "q3"]
    assert split.judgements == {"q1": {"d1": 1}, "q3": {"d2": 1}}
    assert split.hard_negatives == {"q3": ["d1"]}
    assert dataset.notes["unjudged_queries"] == 2


def test_hard_negatives_keep_their_order_once_and_never_hold_a_relevant_document(written):
    def write(writer):
        complete(writer)
        for number in (5, 3, 4):
            writer.document(f"d{number}", "text", where="x")
        for document in ("d5", "d3", "d5", "d1", "d4", "d3"):
            writer.hard_negative("test", "q1", document, where="x")

    assert written(write).split("test").hard_negatives == {"q1": ["d5", "d3", "d4"]}


def test_splits_may_search_corpora_of_their_own(written):
    def write(writer):
        for split in ("train", "test"):
            writer.split(split, split)
            writer.document("d", f"text of {split}", collection=split, where="x")
            writer.query(split, "q", "query", where="x")
            writer.judge(split, "q", "d", 1, where="x")

    dataset = written(write)
    assert list(dataset.splits) == ["train", "test"]
    assert dataset.split("train").documents.take([0]) == ["text of train"]
    assert dataset.split("test").documents.take([0]) == ["text of test"]


def test_pairs_of_many_batches_are_all_found(written, monkeypatch):
    monkeypatch.setattr(pair_file, "ROWS_IN_BATCH", 7)
    grades = np.random.Generator(np.random.PCG64(1)).integers(-2, 4, (30, 20))

    def write(writer):
        for number in range(20):
            writer.document(f"d{number}", "text", where="x")
        for query in range(30):
            writer.query("test", f"q{query}", "query", where="x")
            for document in range(20):
                writer.judge("test", f"q{query}", f"d{document}", int(grades[query, document]), where="x")

    dataset = written(write, relevant_from=2)
    expected = {f"q{q}": {f"d{d}": int(grades[q, d]) for d in range(20)} for q in range(30)}
    assert dataset.split("test").judgements == expected
    assert dataset.positives("test") == {
        query: relevant
        for query, row in expected.items()
        if (relevant := [document for document, grade in row.items() if grade >= 2])
    }


def test_a_split_to_read_has_documents_alone(written):
    def write(writer):
        complete(writer)
        writer.split("pretraining", "reading", searched=False)
        writer.document("d1", "first text", collection="reading", where="corpus, line 1")

    dataset = written(write)
    split = dataset.split("pretraining")
    assert split.documents.ids() == ["d1"] and split.queries.ids() == [] and split.judgements == {}
    assert list(dataset.splits) == ["test", "pretraining"]


def test_groups_are_read_and_part_of_the_fingerprint(written, store):
    def grouped(name):
        def write(writer):
            complete(writer)
            if name:
                writer.group("test", "q1", name, "an article")

        return write

    plain = written(grouped(None))
    shutil.rmtree(store)
    first = written(grouped("read"))
    shutil.rmtree(store)
    other = written(grouped("trained"))
    assert plain.split("test").groups == {}
    assert first.split("test").groups == {"q1": ("read", "an article")}
    assert len({plain.fingerprint, first.fingerprint, other.fingerprint}) == 3
