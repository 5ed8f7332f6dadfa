import json
import shutil

import pytest

from pipeline.data.beir import Beir, collections_in
from pipeline.errors import UserError
from tests.data.conftest import write_json_lines, write_text


def test_a_folder_becomes_three_splits(opened, beir_folder):
    dataset = opened(Beir(path=str(beir_folder), validation_share=0.3))
    assert dataset.name == "small"
    assert list(dataset.splits) == ["train", "validation", "test"]
    train, validation, test = dataset.splits.values()
    assert sorted(train.queries.ids() + validation.queries.ids()) == sorted(f"q{n}" for n in range(20))
    assert 0 < len(validation.queries) < 12
    assert test.judgements == {f"q{n}": {f"d{n}": n % 3} for n in range(0, 20, 3)}
    assert train.documents is test.documents
    assert test.documents.take([0, 1], separator=" | ") == ["text of document 0", "Title 1 | text of document 1"]


def test_given_validation_is_taken_as_it_is(opened, beir_folder):
    (beir_folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq20\td0\t1\n")
    dataset = opened(Beir(path=str(beir_folder)))
    assert dataset.split("validation").queries.ids() == ["q20"]
    assert len(dataset.split("train").queries) == 20


def test_numeric_ids_are_texts(opened, tmp_path, beir_folder):
    with (beir_folder / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": 77, "text": "numbered", "title": None}) + "\n")
    assert opened(Beir(path=str(beir_folder))).split("test").documents.positions(["77"]) == [20]


def test_a_root_of_collections_names_them(opened, beir_folder, tmp_path):
    for name in ("android", "tex"):
        shutil.copytree(beir_folder, tmp_path / "root" / name)
    assert [path.name for path in collections_in(tmp_path / "root")] == ["android", "tex"]
    assert collections_in(beir_folder) == []
    with pytest.raises(UserError, match=r"root holds 2 collections, and this needs one: give it as .*root/android, or"):
        opened(Beir(path=str(tmp_path / "root")))
    (tmp_path / "root" / "tex" / "corpus.jsonl").unlink()
    with pytest.raises(UserError, match=r"root/tex has queries.jsonl but no corpus.jsonl"):
        collections_in(tmp_path / "root")


def test_excluded_documents_are_read_in_the_field_or_its_metadata(opened, tmp_path):
    """BRIGHT's field, which says `N/A` where there is none."""
    write_json_lines(tmp_path / "corpus.jsonl", [{"_id": f"d{n}", "text": f"document {n}"} for n in range(4)])
    queries = [
        {"_id": "q0", "text": "zero", "excluded_ids": ["d1", "d2"], "metadata": {}},
        {"_id": "q1", "text": "one", "metadata": {"excluded_ids": ["d3", 0]}},
        {"_id": "q2", "text": "two", "excluded_ids": ["N/A"]},
        {"_id": "q3", "text": "three"},
    ]
    write_json_lines(tmp_path / "queries.jsonl", queries)
    write_text(tmp_path / "qrels/test.tsv", "".join(f"q{n}\td0\t1\n" for n in range(4)))
    dataset = opened(Beir(path=str(tmp_path)))
    split = dataset.split("test")
    assert split.excluded == {"q0": ["d1", "d2"], "q1": ["d3", "0"], "q2": ["N/A"]}
    assert dataset.unwanted(split).tolist() == [[-1, 1, 2], [-1, 3, -1], [-1, -1, -1], [-1, -1, -1]]
    write_json_lines(tmp_path / "queries.jsonl", [queries[0] | {"excluded_ids": "d1"}, *queries[1:]])
    with pytest.raises(UserError, match=r"queries\.jsonl, line 1: excluded_ids is 'd1'; it must be a list of ids"):
        opened(Beir(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda f: (f / "corpus.jsonl").unlink(), r"has no corpus\.jsonl"),
        (lambda f: [path.unlink() for path in (f / "qrels").iterdir()], r"has no train\.tsv, dev\.tsv or test\.tsv"),
        (
            lambda f: write_text(f / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td99\t1\n"),
            "none of the 1 judged documents, such as 'd99', is in the corpus",
        ),
        (
            lambda f: write_text(f / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq99\td1\t1\n"),
            "test.*none of its judgements names one of its queries",
        ),
        (lambda f: write_text(f / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tyes\n"), "line 2.*'yes'"),
        (lambda f: write_text(f / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n"), "line 2: 2 columns"),
        (lambda f: write_text(f / "qrels/test.tsv", "query-id\tcorpus-id\tscore\n"), "test.*no queries"),
        (
            lambda f: write_text(f / "corpus.jsonl", '{"_id": "d0", "body": "x"}\n'),
            "line 1.*'text'; found are _id, body",
        ),
        (lambda f: write_text(f / "corpus.jsonl", ""), "no documents"),
    ],
)
def test_bad_folders_are_one_sentence(opened, beir_folder, damage, part):
    damage(beir_folder)
    with pytest.raises(UserError, match=part) as caught:
        opened(Beir(path=str(beir_folder)))
    assert "\n" not in str(caught.value)


def test_a_missing_path_is_refused(opened):
    with pytest.raises(UserError, match=r"dataset\.path is not set"):
        opened(Beir())
