"""Each text once, and along the vectors that its score and margin are made of."""

import json

import numpy as np
import pytest

from pipeline.data.jsonl import JsonLines
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import pooling_named
from pipeline.errors import UserError
from pipeline.probing.attribution.texts import directions, negatives_of, relevant, unique_texts
from pipeline.probing.models import ProbedModel
from pipeline.probing.probe import Subject
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.negatives import Given, InBatch
from tests.encoders.conftest import bert_folder, one_thread  # noqa: F401

ROWS = [
    {"query": "lift", "document": ["the wing", "heat"], "negative": ["a slip", "of flow"]},
    {"query": "boundary flow", "document": ["heat"], "negative": ["a slip"]},
]


@pytest.fixture
def subject(bert_folder, tmp_path) -> Subject:  # noqa: F811
    tower = Parts(Local(str(bert_folder)), pooling_named("mean"), EncoderSettings(), 0).tower("document")
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    source = JsonLines(
        train_path=str(path),
        validation_path=str(path),
        test_path=str(path),
        negative="negative",
        relevant_from=1,
        remove_self_hits=False,
    )
    dataset = open_dataset(source, tmp_path)
    return Subject(
        {"tiny": ProbedModel("tiny", DualEncoder(tower, tower))},
        dataset,
        dataset.split("test"),
        Given(count=1),
        Bm25(1.2, 0.75, "lucene", None, None),
        EncodingSettings(device="cpu"),
        tmp_path,
        "sound",
        0,
    )


def test_each_text_comes_once_with_all_its_queries(subject):
    positives = relevant(subject, np.arange(2))
    model = subject.models["tiny"]
    queries, documents = (unique_texts(subject, positives, kind) for kind in ("query", "document"))
    assert queries.read(subject, model) == ["lift", "boundary flow"]
    assert documents.read(subject, model) == ["heat", "the wing"]
    assert (queries.rows, documents.rows) == (3, 3)
    assert documents.queries == [[0, 1], [0]]


def test_directions_are_means_of_the_other_sides_vectors(subject):
    positives, model = relevant(subject, np.arange(2)), subject.models["tiny"]

    def mean(kind, *texts):
        return encode(model.tower(kind), list(texts), kind).mean(axis=0)

    queries, documents = (unique_texts(subject, positives, kind) for kind in ("query", "document"))
    score = directions(subject, model, queries, positives, margin=False)
    assert np.allclose(score, [mean("document", "the wing", "heat"), mean("document", "heat")], atol=1e-5)
    margin = directions(subject, model, queries, positives, margin=True)
    assert np.allclose(score - margin, [mean("document", "a slip", "of flow"), mean("document", "a slip")], atol=1e-5)
    back = directions(subject, model, documents, positives, margin=True)
    assert np.allclose(back, [mean("query", "lift", "boundary flow"), mean("query", "lift")], atol=1e-5)


def test_a_margin_without_negatives_is_refused(subject):
    without = Subject(**{**subject.__dict__, "negatives": InBatch()})
    with pytest.raises(UserError, match="needs negatives; give negatives=bm25"):
        negatives_of(without, [0, 1])
