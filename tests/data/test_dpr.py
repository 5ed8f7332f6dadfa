import gzip
import json

import pytest

from pipeline.data.dpr import Dpr
from pipeline.errors import UserError
from tests.data.conftest import write_text


def context(number, key="passage_id", **more):
    return {"title": f"Title {number}", "text": f"text {number}", key: str(number)} | more


QUESTIONS = [
    {
        "question": f"question {n}",
        "answers": ["x"],
        "positive_ctxs": [context(n)],
        "hard_negative_ctxs": [context(100 + n, "psg_id"), context(101 + n, "psg_id"), context(102 + n, "psg_id")],
        "negative_ctxs": [context(200 + n)],
    }
    for n in range(10)
]


def test_contexts_are_the_corpus(opened, tmp_path):
    path = tmp_path / "nq-dev.json.gz"
    path.write_bytes(gzip.compress(json.dumps(QUESTIONS).encode()))
    dataset = opened(Dpr(path=str(path), hard_negatives=2))
    split = dataset.split("test")
    assert dataset.name == "nq-dev"
    assert set(split.documents.ids()) == {str(n) for n in [*range(10), *range(100, 112), *range(200, 210)]}
    assert split.queries.take([3]) == ["question 3"]
    [query] = split.queries.ids([3])
    assert split.judgements[query] == {"3": 1}
    assert split.hard_negatives[query] == ["103", "104"]
    assert split.documents.take(split.documents.positions(["104"]), " [SEP] ") == ["Title 104 [SEP] text 104"]
    assert (
        dataset.notes["repeated_documents"] == 18
    )  # the second and third negative of one are the next one's first two


def test_passages_are_the_corpus_where_given(opened, tmp_path):
    passages = "id\ttext\ttitle\n" + "".join(f'{n}\t"say ""{n}"""\tTitle {n}\n' for n in range(150))
    path = write_text(tmp_path / "dev.json", json.dumps(QUESTIONS))
    tsv = write_text(tmp_path / "psgs_w100.tsv", passages)
    dataset = opened(Dpr(validation_path=str(path), passages=str(tsv)))
    split = dataset.split("validation")
    assert len(split.documents) == 150
    assert split.documents.take([7]) == ['Title 7 say "7"']
    tsv = write_text(tmp_path / "few.tsv", "id\ttext\ttitle\n1\ttext\ttitle\n")
    notes = opened(Dpr(test_path=str(path), passages=str(tsv))).notes
    assert (notes["judged_but_absent"], notes["absent_hard_negatives"]) == (9, 30)
    tsv = write_text(tmp_path / "other.tsv", "id\ttext\ttitle\n77\ttext\ttitle\n")
    with pytest.raises(UserError, match=r"none of the 10 judged documents, such as '0', is in the corpus"):
        opened(Dpr(test_path=str(path), passages=str(tsv)))


def test_all_contexts_are_the_corpus_of_real_rows(opened, shared_data):
    """Every context of five rows as released, counted by their ids: 755 in all, four of them twice."""
    path = str(shared_data / "dpr_sample" / "nq-dev-first-five.json")
    rows = json.loads((shared_data / "dpr_sample" / "nq-dev-first-five.json").read_text())
    kinds = ("positive_ctxs", "negative_ctxs", "hard_negative_ctxs")
    ids = [each["passage_id"] for row in rows for kind in kinds for each in row[kind]]
    for hard_negatives in (10, 0):
        dataset = opened(Dpr(path=path, hard_negatives=hard_negatives, name=f"dpr{hard_negatives}"))
        assert set(dataset.split("test").documents.ids()) == set(ids)
        assert (len(ids), len(set(ids)), dataset.notes["documents"]["test"]) == (755, 751, 751)
        assert {len(found) for found in dataset.split("test").hard_negatives.values()} == (
            {10} if hard_negatives else set()
        )


def test_the_retrievers_prefix_is_no_part_of_an_id(opened, tmp_path):
    row = {
        "question": "q",
        "positive_ctxs": [{"title": "t", "text": "one", "passage_id": "wiki:1"}],
        "hard_negative_ctxs": [{"title": "t", "text": "two", "psg_id": 2}],
        "negative_ctxs": None,
    }
    path = str(write_text(tmp_path / "a.json", json.dumps([row])))
    assert opened(Dpr(path=path)).split("test").documents.ids() == ["1", "2"]
    tsv = write_text(tmp_path / "p.tsv", 'id\ttext\ttitle\nwiki:2\ttwo\tt\n1\tone\tt\n3\t\t\n4\t"a\ttab"\tt\n')
    dataset = opened(Dpr(path=path, passages=str(tsv)))
    [query] = dataset.split("test").queries.ids()
    assert dataset.split("test").judgements == {query: {"1": 1}}
    assert dataset.split("test").hard_negatives == {query: ["2"]}
    assert dataset.split("test").documents.take([2, 3]) == ["", "t a\ttab"]
    assert dataset.notes["empty_documents"] == 1


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_lines_are_read_like_an_array(opened, tmp_path, mark):
    lines = "".join(json.dumps(row) + "\n" for row in QUESTIONS)
    array = opened(Dpr(path=str(write_text(tmp_path / "a.json", mark + json.dumps(QUESTIONS)))))
    assert opened(Dpr(path=str(write_text(tmp_path / "b.jsonl", mark + lines)))).fingerprint == array.fingerprint


def test_questions_without_a_positive_are_counted(opened, tmp_path):
    records = [*QUESTIONS, {"question": "nothing", "answers": [], "positive_ctxs": []}]
    dataset = opened(Dpr(path=str(write_text(tmp_path / "a.json", json.dumps(records)))))
    assert dataset.notes["questions_without_positive"] == 1
    assert dataset.notes["queries"] == {"test": 10}


def test_contexts_without_ids_are_known_by_their_text(opened, tmp_path):
    records = [
        {"question": f"q {n}", "positive_ctxs": [{"title": "t", "text": f"text {n % 2}"}], "hard_negative_ctxs": []}
        for n in range(4)
    ]
    path = str(write_text(tmp_path / "a.json", json.dumps(records)))
    assert len(opened(Dpr(path=path)).split("test").documents) == 2
    with pytest.raises(UserError, match="entry 1: a context has no id"):
        opened(Dpr(path=path, passages=str(write_text(tmp_path / "p.tsv", "id\ttext\ttitle\n"))))


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({"query": "x"}, "entry 1: there is no field 'question'; found are query"),
        ({"question": "x"}, "entry 1: there is no field 'positive_ctxs'"),
        ({"question": "x", "positive_ctxs": [{"title": "t"}]}, "entry 1: there is no field 'text'; found are title"),
        ({"question": "x", "positive_ctxs": [{"text": 7}]}, "entry 1: the text is 7"),
    ],
)
def test_bad_records_are_placed(opened, tmp_path, record, part):
    with pytest.raises(UserError, match=part):
        opened(Dpr(path=str(write_text(tmp_path / "a.json", json.dumps([record])))))


def test_passages_under_a_header_of_another_order_are_refused(opened, tmp_path):
    write_text(tmp_path / "psgs.tsv", "id\ttitle\ttext\n1\tx\tt\n")
    write_text(tmp_path / "dev.json", '[{"question": "q", "positive_ctxs": [{"passage_id": "1"}]}]')
    with pytest.raises(UserError, match="has the columns id, title, text; put them as id, text, title"):
        opened(Dpr(path=str(tmp_path / "dev.json"), passages=str(tmp_path / "psgs.tsv")))


def test_a_cut_archive_is_named(opened, tmp_path):
    (tmp_path / "dev.json.gz").write_bytes(gzip.compress(b'[{"question": "q"}]' * 200)[:-30])
    with pytest.raises(UserError, match="the compressed file is damaged"):
        opened(Dpr(path=str(tmp_path / "dev.json.gz")))
