import gzip

import pytest

from pipeline.data.msmarco import MsMarco
from pipeline.errors import UserError
from tests.data.conftest import write_text


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "msmarco"
    write_text(folder / "collection.tsv", "".join(f"{n}\tpassage {n}\n" for n in range(50)))
    write_text(folder / "queries.train.tsv", "".join(f"{n}\tquery {n}\n" for n in range(40)))
    write_text(folder / "qrels.train.tsv", "".join(f"{n}\t0\t{n}\t1\n" for n in range(30)))
    write_text(folder / "queries.dev.small.tsv", "100\tdev query\n101\tunjudged\n")
    write_text(folder / "qrels.dev.small.tsv", "100\t0\t7\t1\n")
    triples = "".join(f"{n}\t{n}\t{n + offset}\n" for offset in range(1, 6) for n in range(30))
    (folder / "triples.tsv.gz").write_bytes(gzip.compress(triples.encode()))
    return folder


def test_passages_queries_and_triples(opened, folder):
    source = MsMarco(path=str(folder), triples="triples.tsv.gz", hard_negatives=3, validation_share=0.2)
    dataset = opened(source)
    train = dataset.split("train")
    assert dataset.notes["queries"]["train"] + dataset.notes["queries"]["validation"] == 30
    assert dataset.split("test").judgements == {"100": {"7": 1}}
    query = train.queries.ids([0])[0]
    assert train.hard_negatives[query] == [str(int(query) + offset) for offset in (1, 2, 3)]
    assert train.documents.take([3]) == ["passage 3"]


def test_all_negatives_are_taken_where_no_number_is_given(opened, folder):
    train = opened(MsMarco(path=str(folder), triples="triples.tsv.gz", hard_negatives=None)).split("train")
    assert {len(found) for found in train.hard_negatives.values()} == {5}


def test_without_training(opened, folder):
    assert list(opened(MsMarco(path=str(folder), train_queries=None)).splits) == ["test"]


def test_texts_may_hold_tabs_or_nothing(opened, folder):
    with (folder / "collection.tsv").open("a") as file:
        file.write("50\tone\ttwo\t three\n51\t\n")
    with (folder / "queries.dev.small.tsv").open("a") as file:
        file.write("102\twhat\tis it\n")
    with (folder / "qrels.dev.small.tsv").open("a") as file:
        file.write("102\t0\t50\t1\n102\t0\t51\t1\n102\t0\t99\t1\n999\t0\t50\t1\n")
    dataset = opened(MsMarco(path=str(folder), train_queries=None))
    test = dataset.split("test")
    assert test.documents.take([50, 51]) == ["one\ttwo\t three", ""]
    assert test.queries.take([1]) == ["what\tis it"]
    assert test.judgements["102"] == {"50": 1, "51": 1, "99": 1}
    counts = [dataset.notes[what] for what in ("empty_documents", "judged_but_absent", "judgements_of_unknown_topics")]
    assert counts == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "line", "part"),
    [
        ("collection.tsv", "100\t7\twhat\tpassage", "line 1: this is a list of candidates .* not pid passage"),
        ("queries.dev.small.tsv", "100\t7\twhat\tpassage", "line 1: this is a list of candidates .* not qid query"),
        ("collection.tsv", "D1\thttp://a.b\ttitle\tbody", "line 1: these are whole documents .* dataset=ir_datasets"),
        ("triples.tsv", "a query\tits passage\tanother passage", "line 1: dataset.triples holds texts .*qidpidtriples"),
    ],
)
def test_other_files_of_the_collection_are_told_apart(opened, folder, name, line, part):
    write_text(folder / name, f"{line}\n")
    with pytest.raises(UserError, match=part):
        opened(MsMarco(path=str(folder), triples="triples.tsv" if name == "triples.tsv" else None))


def test_negatives_that_are_not_there_are_left_out_and_counted(opened, folder):
    write_text(folder / "triples.tsv", "1\t1\t2\n1\t1\t999\n888\t1\t2\n")
    dataset = opened(MsMarco(path=str(folder), triples="triples.tsv", validation_share=0))
    assert dataset.split("train").hard_negatives == {"1": ["2"]}
    assert dataset.notes["absent_hard_negatives"] == 2


def test_an_empty_validation_names_the_share_that_is_too_small(opened, folder):
    with pytest.raises(UserError, match=r"split validation .* no queries; .*\(dataset\.validation_share\)"):
        opened(MsMarco(path=str(folder), validation_share=1e-9))


def test_missing_and_malformed_files(opened, folder):
    with pytest.raises(UserError, match="does not exist"):
        opened(MsMarco(path=str(folder), triples="none.tsv"))
    (folder / "qrels.dev.small.tsv").write_text("100\t7\n")
    with pytest.raises(UserError, match=r"qrels\.dev\.small\.tsv, line 1: 2 columns where judgements have 4"):
        opened(MsMarco(path=str(folder), train_queries=None))
