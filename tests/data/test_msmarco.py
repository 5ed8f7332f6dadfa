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


def test_missing_and_malformed_files(opened, folder):
    with pytest.raises(UserError, match="does not exist"):
        opened(MsMarco(path=str(folder), triples="none.tsv"))
    (folder / "qrels.dev.small.tsv").write_text("100\t7\n")
    with pytest.raises(UserError, match=r"qrels\.dev\.small\.tsv, line 1: 2 columns where judgements have 4"):
        opened(MsMarco(path=str(folder), train_queries=None))
