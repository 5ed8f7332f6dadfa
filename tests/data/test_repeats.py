"""No query is trained on and tested on: where we deal the splits it cannot be, where they are given it is counted."""

import json

import pytest

from pipeline.data.beir import Beir
from pipeline.data.dpr import Dpr
from pipeline.data.jsonl import JsonLines
from pipeline.data.msmarco import MsMarco
from pipeline.data.normal_form import normal_form
from pipeline.data.shares import Shares, dealt
from pipeline.data.squad import Squad
from pipeline.data.trec import Trec
from pipeline.errors import UserError
from tests.data.conftest import write_json_lines, write_text

USUAL = {"train": 0.4, "validation": 0.3, "test": 0.3}
SPELLINGS = ("What is number {}?", "What is  number {}?", " what is\u00a0number {}?", "WHAT IS NUMBER {}？")
"""One question four times, as several exports write it."""

QUERIES = [(f"q{n}-{way}", spelling.format(n), n) for n in range(30) for way, spelling in enumerate(SPELLINGS)]
HEADER = "query-id\tcorpus-id\tscore\n"


def json_lines(folder, **settings):
    records = [{"id": id_, "query": text, "document": f"answer {n}"} for id_, text, n in QUERIES]
    return JsonLines(path=str(write_json_lines(folder / "pairs.jsonl", records)), split=USUAL, **settings)


def json_lines_with_ids(folder):
    return json_lines(folder, query_id="id")


def dpr(folder):
    records = [{"question": text, "positive_ctxs": [{"title": "", "text": f"answer {n}"}]} for _, text, n in QUERIES]
    return Dpr(path=str(write_text(folder / "dpr.json", json.dumps(records))), split=USUAL)


def beir(folder):
    write_json_lines(folder / "corpus.jsonl", [{"_id": f"d{n}", "text": f"answer {n}"} for n in range(30)])
    write_json_lines(folder / "queries.jsonl", [{"_id": id_, "text": text} for id_, text, _ in QUERIES])
    rows = "".join(f"{id_}\td{n}\t1\n" for id_, _, n in QUERIES)
    write_text(folder / "qrels" / "train.tsv", HEADER + rows)
    return Beir(path=str(folder), validation_share=0.4)


def msmarco(folder):
    write_text(folder / "collection.tsv", "".join(f"d{n}\tanswer {n}\n" for n in range(30)))
    write_text(folder / "queries.train.tsv", "".join(f"{id_}\t{text}\n" for id_, text, _ in QUERIES))
    write_text(folder / "qrels.train.tsv", "".join(f"{id_} 0 d{n} 1\n" for id_, _, n in QUERIES))
    write_text(folder / "triples.tsv", "".join(f"{id_}\td{n}\td{(n + 1) % 30}\n" for id_, _, n in QUERIES))
    return MsMarco(path=str(folder), test_queries=None, triples="triples.tsv", validation_share=0.4)


def trec(folder):
    documents = "".join(f"<DOC><DOCNO>d{n}</DOCNO><TEXT>answer {n}</TEXT></DOC>\n" for n in range(30))
    topics = "".join(f"<top><num>{id_}</num><title>{text}</title></top>\n" for id_, text, _ in QUERIES)
    files = {
        "documents": write_text(folder / "documents.xml", documents),
        "topics": write_text(folder / "topics.xml", topics),
        "qrels": write_text(folder / "qrels.txt", "".join(f"{id_} 0 d{n} 1\n" for id_, _, n in QUERIES)),
    }
    return Trec(**{name: str(path) for name, path in files.items()}, split=USUAL)


@pytest.mark.parametrize("source", [json_lines, json_lines_with_ids, dpr, beir, msmarco, trec])
def test_spellings_of_one_query_fall_into_one_split(opened, tmp_path, source):
    dataset = opened(source(tmp_path / "files"))
    places = {}
    for name, split in dataset.splits.items():
        for text in split.queries.take(slice(None)):
            places.setdefault(normal_form(text), set()).add(name)
    assert len(places) == 30
    assert all(len(found) == 1 for found in places.values())
    assert len(set().union(*places.values())) == len(dataset.splits) > 1
    assert "queries_also_in" not in dataset.notes


def test_given_splits_that_share_queries_stay_as_given_and_are_counted(opened, tmp_path):
    train = [{"query": f"question {n}", "document": f"answer {n}"} for n in range(10)]
    test = [{"query": f"Question  {n}", "document": f"answer {n}"} for n in range(7, 12)]
    source = JsonLines(
        train_path=str(write_json_lines(tmp_path / "train.jsonl", train)),
        test_path=str(write_json_lines(tmp_path / "test.jsonl", test)),
        validation_share=0,
    )
    dataset = opened(source)
    assert dataset.notes["queries"] == {"train": 10, "test": 5}
    assert dataset.notes["queries_also_in"] == {"test": {"train": 3}}


def test_a_query_of_two_splits_is_known_by_its_id_too(opened, beir_folder):
    dataset = opened(Beir(path=str(beir_folder), validation_share=0))
    assert dataset.notes["queries_also_in"] == {"test": {"train": 7}}


def test_real_splits_that_share_queries_are_counted(opened, shared_data):
    dataset = opened(Beir(path=str(shared_data / "scifact"), validation_share=0))
    assert dataset.notes["queries_also_in"] == {"test": {"train": 2}}


def test_paragraphs_of_two_splits_are_counted(opened, tmp_path):
    def file(name, title, questions):
        qas = [{"id": f"{name}-{q}", "question": f"{name} {q}?", "answers": [{"text": "a"}]} for q in range(questions)]
        shared = {**qas[0], "id": f"{name}-shared", "question": f"{name} shared?"}
        paragraphs = [{"context": f"The {name} paragraph.", "qas": qas}, {"context": "Shared.", "qas": [shared]}]
        return str(write_text(tmp_path / name, json.dumps({"data": [{"title": title, "paragraphs": paragraphs}]})))

    source = Squad(train_path=file("a", "One", 2), test_path=file("b", "Two", 2), validation_share=0)
    assert opened(source).notes["paragraphs_asked_about_in_two_splits"] == 1


def test_dealing_moves_no_query_that_stands_alone(opened, tmp_path):
    """Figures on held-out queries stay what they were, but for queries that another one equals."""
    shares = Shares.held_out(0.4)
    alone = [(f"a{n}", f"question {n}") for n in range(50)]
    split_of = dealt(shares, [*alone, ("z", "Question 7"), ("y", "question  7")])
    assert [split_of(id_) for id_, _ in alone] == [shares(id_) for id_, _ in alone]
    assert split_of("z") == split_of("y") == split_of("a7") == shares("a7")
    assert split_of("unknown") == shares("unknown")


def test_two_texts_under_one_query_id_are_refused(opened, tmp_path):
    records = [{"id": "q", "query": text, "document": "d"} for text in ("one", "One ", "other")]
    path = write_json_lines(tmp_path / "pairs.jsonl", records)
    with pytest.raises(UserError, match=r"pairs\.jsonl, line 3: the id 'q' has another text than in .*, line 1;"):
        opened(JsonLines(path=str(path), query_id="id"))


def test_another_text_under_a_known_id_is_counted(opened, tmp_path):
    records = [{"query": f"q{n}", "document": text, "key": "k"} for n, text in enumerate(("one", "one", "other"))]
    path = write_json_lines(tmp_path / "pairs.jsonl", records)
    notes = opened(JsonLines(path=str(path), document_id="key")).notes
    assert (notes["repeated_documents"], notes["unlike_documents_of_one_id"]) == (2, 1)
