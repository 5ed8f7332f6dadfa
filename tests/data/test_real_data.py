"""The counts of the real datasets, where they lie beside the checkout."""

import numpy as np

from pipeline.data.beir import Beir
from pipeline.data.jsonl import JsonLines
from pipeline.data.squad import Squad
from pipeline.data.trec import Trec

USUAL = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_scifact(opened, shared_data):
    dataset = opened(Beir(path=str(shared_data / "scifact")))
    assert len(dataset.split("test").documents) == 5183
    assert sum(dataset.notes["queries"].values()) == 1109
    assert dataset.notes["judgements"]["test"] == 339
    assert dataset.notes["judgements"]["train"] + dataset.notes["judgements"]["validation"] == 919


def test_scifact_limited_is_a_part_of_the_whole(opened, shared_data):
    path = str(shared_data / "scifact")
    whole, limited = opened(Beir(path=path)).split("test"), opened(Beir(path=path, limit=50)).split("test")
    assert len(limited.queries) == 50
    assert all(limited.judgements[query] == whole.judgements[query] for query in limited.queries.ids())
    assert (np.diff(whole.documents.positions(limited.documents.ids())) > 0).all()


def test_squad(opened, shared_data):
    dataset = opened(Squad(path=str(shared_data / "squad" / "dev-v1.1.json")))
    assert dataset.notes["queries"] == dataset.notes["judgements"] == {"test": 10570}
    assert dataset.notes["documents"] == {"test": 2067}
    shared = opened(Squad(path=str(shared_data / "squad" / "dev-v1.1.json"), split=USUAL))
    assert sum(shared.notes["queries"].values()) == 10570
    assert set(shared.notes["documents"].values()) == {2067}


def test_squadshifts(opened, shared_data):
    files = [str(shared_data / "squadshifts" / name) for name in ("new_wiki_v1.0.json", "reddit_v1.0.json")]
    dataset = opened(Squad(path=files))
    assert dataset.notes["queries"] == {"test": 7938 + 9803}


def test_cranfield(opened, shared_data):
    dataset = opened(Trec(path=str(shared_data / "cranfield"), topics_numbered="position"))
    assert dataset.notes["documents"] == {"test": 1400}
    assert dataset.notes["queries"] == {"test": 225}
    assert dataset.notes["judgements"] == {"test": 1837}
    assert dataset.notes["empty_documents"] == 2


def test_medquad(opened, shared_data):
    path = str(shared_data / "medquad" / "medquad.jsonl")
    dataset = opened(JsonLines(path=path, query="question", document="answer", split=USUAL))
    assert sum(dataset.notes["queries"].values()) == 14979
    assert dataset.notes["repeated_queries"] == 16407 - 14979
    assert dataset.notes["repeated_documents"] == 16407 - dataset.notes["documents"]["test"]
