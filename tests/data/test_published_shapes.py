"""Folders in BEIR's layout as they are published and exported: odd ones open, and every oddity is counted."""

import bz2
import gzip
import json
import lzma

import numpy as np
import pytest

from pipeline.data.beir import Beir
from pipeline.data.remarks import remarks
from pipeline.errors import UserError
from pipeline.evaluation.measures import measure
from pipeline.evaluation.scoring import score_retrieval
from pipeline.retrieval.run import Ranking, Run
from pipeline.retrieval.table import Table
from pipeline.training.examples import labelled
from pipeline.training.validation import narrowed

DOCUMENTS = [{"_id": f"d{n}", "title": "", "text": f"text of document {n}"} for n in range(40)]
QUERIES = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(5)]
HEADER = "query-id\tcorpus-id\tscore\n"
JUDGED = "".join(f"q{n}\td{n}\t1\n" for n in range(5))
FOUND = {f"q{n}": {f"d{n}": 1} for n in range(5)}


@pytest.fixture
def folder(tmp_path, opened):
    """Write a folder and open it."""

    def write(documents=DOCUMENTS, queries=QUERIES, test=HEADER + JUDGED, mark="", train=None, **settings):
        place = tmp_path / "small"
        (place / "qrels").mkdir(parents=True)
        for name, rows in (("corpus", documents), ("queries", queries)):
            text = mark + "".join(json.dumps(row) + "\n" for row in rows)
            (place / f"{name}.jsonl").write_text(text, encoding="utf-8")
        (place / "qrels" / "test.tsv").write_text(mark + test, encoding="utf-8")
        if train is not None:
            (place / "qrels" / "train.tsv").write_text(train)
        return place if settings.pop("closed", False) else opened(Beir(path=str(place), **settings))

    return write


def test_documents_without_text_are_there_and_never_found(folder):
    further = [{"_id": "d40", "title": "", "text": ""}, {"_id": "d41", "title": "only a title", "text": None}]
    dataset = folder([*DOCUMENTS, *further], test=f"{HEADER}{JUDGED}q0\td40\t1\n")
    split = dataset.split("test")
    assert len(split.documents) == 42 and dataset.notes["empty_documents"] == 1
    assert split.judgements == {**FOUND, "q0": {"d0": 1, "d40": 1}}
    assert split.documents.take([41]) == ["only a title"]
    assert remarks(dataset, split) == ["Of the whole dataset, documents without text, never found: 1."]
    vectors = np.zeros((42, 2), dtype=np.float32)
    vectors[40] = vectors[0] = (1, 0)  # what a tower makes of no text may be nearest of all
    scores = score_retrieval(
        np.ones((5, 2), dtype=np.float32), Table.from_array(vectors), split, ["recall@42", "mrr@1"], dataset, "cpu"
    )
    np.testing.assert_allclose(scores.per_query["recall@42"], [0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(scores.per_query["mrr@1"], [1, 0, 0, 0, 0])


def test_judged_documents_that_are_absent_count_and_cannot_be_found(folder):
    dataset = folder(test=f"{HEADER}{JUDGED}q0\tgone\t1\nq1\tgone too\t0\n")
    split = dataset.split("test")
    assert len(split.documents) == 40
    assert split.judgements == {**FOUND, "q0": {"d0": 1, "gone": 1}, "q1": {"d1": 1, "gone too": 0}}
    run = Run("best", {query: Ranking([f"d{query[1:]}"], np.ones(1, dtype=np.float32)) for query in split.judgements})
    scores = measure(run, split.judgements, ["recall@10", "ndcg@10", "map"])
    np.testing.assert_allclose(scores.per_query["recall@10"], [0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(scores.per_query["map"], [0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(scores.per_query["ndcg@10"], [1 / (1 + 1 / np.log2(3)), 1, 1, 1, 1])
    assert remarks(dataset, split) == [
        "Of the whole dataset, judgements of documents that are not in the corpus, which count and are never found: 2."
    ]


def test_a_query_trains_on_the_documents_that_are_there(folder):
    train = f"{HEADER}q0\tgone\t1\nq1\tgone\t1\nq1\td1\t1\nq2\td2\t1\n"
    dataset = folder(train=train, validation_share=0)
    split = dataset.split("train")
    assert dataset.positives("train") == {"q1": ["d1"], "q2": ["d2"]}
    assert [found.tolist() for found in labelled(dataset, split).positives] == [[], [1], [2]]
    sentence = "Queries of train whose relevant documents are all absent, which train nothing: 1."
    assert sentence in remarks(dataset, split) and sentence in remarks(dataset, dataset.split("test"))


def test_validation_on_a_part_keeps_the_documents_that_are_there(folder):
    split = narrowed(folder(test=f"{HEADER}{JUDGED}q0\tgone\t1\n").split("test"), queries=5, documents=0, seed=1)
    assert split.documents.ids() == [f"d{n}" for n in range(5)]
    assert split.judgements == {**FOUND, "q0": {"d0": 1, "gone": 1}}


def test_a_limit_keeps_what_is_absent(folder):
    dataset = folder(test=f"{HEADER}{JUDGED}" + "".join(f"q{n}\tgone\t1\n" for n in range(5)), limit=2)
    judgements = dataset.split("test").judgements
    assert len(judgements) == 2 and all("gone" in grades for grades in judgements.values())


def test_what_is_absent_is_part_of_the_fingerprint(folder, tmp_path, opened):
    place = folder(test=f"{HEADER}{JUDGED}q0\tgone\t1\n", closed=True)
    first = opened(Beir(path=str(place))).fingerprint
    (place / "qrels" / "test.tsv").write_text(f"{HEADER}{JUDGED}q0\tlost\t1\n")
    assert opened(Beir(path=str(place), name="other")).fingerprint != first


def test_equal_repeats_are_read_once_and_counted(folder):
    dataset = folder(DOCUMENTS + DOCUMENTS[:2], QUERIES + QUERIES[:1], HEADER + JUDGED + JUDGED)
    split = dataset.split("test")
    assert (len(split.documents), split.judgements) == (40, FOUND)
    counts = [dataset.notes[f"repeated_{what}"] for what in ("documents", "queries", "judgements")]
    assert counts == [2, 1, 5]


def test_unequal_repeats_are_refused_with_both_places(folder):
    unlike = [{"_id": "d0", "title": "", "text": "something else"}, {"_id": "d3", "title": "t", "text": "x"}]
    with pytest.raises(UserError) as caught:
        folder(DOCUMENTS + unlike)
    sentence = str(caught.value)
    assert sentence.startswith("2 lines cannot be")
    assert "corpus.jsonl, line 41: the id 'd0' has another text than in" in sentence
    assert "corpus.jsonl, line 42: the id 'd3' has another text than in" in sentence
    assert "corpus.jsonl, line 1;" in sentence and "corpus.jsonl, line 4;" in sentence


def test_grades_of_data_frames_open_with_a_mark_and_without_a_header(folder):
    dataset = folder(mark="\ufeff", test=JUDGED.replace("\t1\n", "\t1.0\n"))
    assert dataset.split("test").judgements == FOUND and len(dataset.split("test").documents) == 40


def test_judgements_in_trecs_columns_open(folder):
    assert folder(test=JUDGED.replace("\td", "\t0\td")).split("test").judgements == FOUND


def test_judgements_of_unknown_topics_are_left_out_and_counted(folder):
    dataset = folder(test=f"{HEADER}{JUDGED}q99\td1\t1\n")
    assert dataset.split("test").judgements == FOUND
    assert remarks(dataset, dataset.split("test")) == [
        "Of the whole dataset, judgements of queries that are not there, left out: 1."
    ]


@pytest.mark.parametrize(("ending", "module"), [("gz", gzip), ("xz", lzma), ("bz2", bz2)])
def test_packed_files_open_like_plain_ones(folder, opened, ending, module):
    place = folder(closed=True)
    for path in (place / "corpus.jsonl", place / "queries.jsonl", place / "qrels" / "test.tsv"):
        path.with_name(f"{path.name}.{ending}").write_bytes(module.compress(path.read_bytes()))
        path.unlink()
    split = opened(Beir(path=str(place))).split("test")
    assert (len(split.documents), split.judgements) == (40, FOUND)


def test_ids_that_a_data_frame_made_floats_mean_the_same(folder):
    documents = [{"_id": number, "text": "text"} for number in (10, 11.0, "12", "13.0", "14.0", "14")]
    queries = [{"_id": "1", "text": "one"}, {"_id": 2.0, "text": "two"}, {"_id": "3.0", "text": "three"}]
    test = "1.0\t10.0\t1.0\n2.0\t11.0\t1\n3\t12.0\t1\n3\t13\t1\n1\t14\t1\n"
    dataset = folder(documents, queries, test)
    assert dataset.split("test").judgements == {"1": {"10": 1, "14": 1}, "2": {"11": 1}, "3.0": {"12": 1, "13.0": 1}}
    assert dataset.notes["ids_as_floats"] == 4


@pytest.mark.parametrize("id_", [1e300, 0.5, float(2**54), True])
def test_ids_that_are_no_whole_numbers_are_refused(folder, id_):
    with pytest.raises(UserError, match=r"line 1: the document id is .*; it must be a text"):
        folder([{"_id": id_, "text": "text"}, *DOCUMENTS])


@pytest.mark.parametrize("grade", ["1_000", "\u0661", "1.5", "", "yes"])
def test_grades_that_no_reference_tool_reads_are_refused(folder, grade):
    with pytest.raises(UserError, match=r"test\.tsv, line 7: the grade .* is not a whole number"):
        folder(test=f"{HEADER}{JUDGED}q0\td7\t{grade}\n")


def test_all_bad_lines_are_counted_and_the_first_three_told(folder):
    with pytest.raises(UserError) as caught:
        folder([*DOCUMENTS, *({"_id": f"x{n}", "body": "text"} for n in range(9))])
    assert str(caught.value).startswith("9 lines cannot be")
    assert [f"line {n}:" in str(caught.value) for n in (41, 42, 43, 44)] == [True, True, True, False]
    assert "\n" not in str(caught.value)


def test_all_bad_documents_are_counted(folder):
    with pytest.raises(UserError, match=r"^5 lines cannot be .*line 41: the document id 'x 0' .*line 43: [^:]*$"):
        folder([*DOCUMENTS, *({"_id": f"x {n}", "text": "text"} for n in range(5))])


def test_letters_that_look_decoded_twice_are_kept_and_counted(folder):
    odd = [
        "caf\u00e9".encode().decode("latin-1"),
        "it\u2019s".encode().decode("cp1252"),
        "caf\u00e9, it\u2019s, \u00c3",
    ]
    dataset = folder([*DOCUMENTS, *({"_id": f"x{n}", "text": text} for n, text in enumerate(odd))])
    split = dataset.split("test")
    assert split.documents.take([40, 41, 42]) == odd
    assert remarks(dataset, split) == [
        "Of the whole dataset, documents with letters that look decoded twice, read as they are: 2."
    ]
