import sys

import pytest

from pipeline.data.ir_datasets import IrDatasets
from pipeline.errors import UserError
from tests.data.conftest import write_text

PARTS = ("train", "test")


@pytest.fixture
def registered(tmp_path):
    """Two parts of one collection in the real registry, from local files."""
    package = pytest.importorskip("ir_datasets")
    docs = write_text(tmp_path / "docs.tsv", "".join(f"d{n}\ttext {n}\n" for n in range(20)))
    base = package.create_dataset(docs_tsv=str(docs))
    name = f"local-{tmp_path.name}"
    package.registry.register(name, base)
    for offset, part in enumerate(PARTS):
        queries = "".join(f"{part}{n}\tquery {n}\n" for n in range(12))
        qrels = "".join(f"{part}{n} 0 d{n + offset} 1\n" for n in range(10))
        made = package.create_dataset(
            docs_tsv=str(docs),
            queries_tsv=str(write_text(tmp_path / f"{part}.tsv", queries)),
            qrels_trec=str(write_text(tmp_path / f"{part}.qrels", qrels)),
        )
        package.registry.register(f"{name}/{part}", package.Dataset(base, made))
    return name


def test_parts_of_one_collection_share_its_documents(opened, registered):
    source = IrDatasets(train=f"{registered}/train", test=f"{registered}/test", validation_share=0.3)
    dataset = opened(source)
    assert dataset.name == f"{registered}-test"
    assert dataset.split("train").documents is dataset.split("test").documents
    assert dataset.notes["queries"]["train"] + dataset.notes["queries"]["validation"] == 10
    assert dataset.split("test").judgements["test3"] == {"d4": 1}
    assert dataset.split("test").documents.take([5]) == ["text 5"]


def test_a_judgement_that_a_later_one_changes_is_counted(opened, registered, tmp_path):
    with (tmp_path / "test.qrels").open("a") as file:
        file.write("test3 0 d4 0\ntest5 0 d6 1\n")
    dataset = opened(IrDatasets(test=f"{registered}/test"))
    assert dataset.split("test").judgements["test3"] == {"d4": 0}
    assert dataset.notes["changed_judgements"] == 1


def test_pools_name_topics_and_documents_that_are_not_there(opened, registered, tmp_path):
    with (tmp_path / "test.qrels").open("a") as file:
        file.write("test3 0 gone 1\nnobody 0 d1 1\n")
    dataset = opened(IrDatasets(test=f"{registered}/test"))
    assert dataset.split("test").judgements["test3"] == {"d4": 1, "gone": 1}
    assert dataset.notes["judged_but_absent"] == dataset.notes["judgements_of_unknown_topics"] == 1


def test_unknown_ids_and_missing_parts(opened, registered):
    with pytest.raises(UserError, match="knows no dataset 'no/such/id'"):
        opened(IrDatasets(test="no/such/id"))
    with pytest.raises(UserError, match="has no queries"):
        opened(IrDatasets(test=registered))
    with pytest.raises(UserError, match="No id is set"):
        IrDatasets()


def test_without_the_package_the_error_says_how_to_install_it(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(UserError, match="pip install ir_datasets"):
        opened(IrDatasets(test="beir/scifact/test"))
