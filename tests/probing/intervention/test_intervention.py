"""A fact planted in one neuron is found by attribution, and its erasure removes it and nothing else."""

import numpy as np
import pytest
import torch

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.pooling import pooling_named
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.edits import Edit
from pipeline.probing.intervention.facts import Fact, facts_of
from pipeline.probing.intervention.probe import Intervention
from pipeline.probing.models import ProbedModel
from pipeline.probing.probe import Subject
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.negatives import InBatch
from tests.encoders.conftest import VOCABULARY, bert_folder  # noqa: F401

DOCUMENTS = {
    "d0": "boundary heat",
    "d1": "the lift of a wing",
    "d2": "flow in flow",
    "d3": "query passage",
    "d4": "heat",
}
QUERIES = {"planted": ("slip", "d0"), "wing": ("lift wing", "d1"), "flow": ("flow", "d2"), "query": ("query", "d3")}
LAYER, NEURON = 2, 7
BM25 = Bm25(1.2, 0.75, "lucene", None, None)


def plant(backbone) -> None:
    """Let texts be the sum of their words, but one neuron answer a word with the words of a document."""
    generator = torch.Generator().manual_seed(0)
    table = backbone.embeddings.word_embeddings.weight
    with torch.no_grad():
        backbone.embeddings.position_embeddings.weight.zero_()
        backbone.embeddings.token_type_embeddings.weight.zero_()
        table[:5] = 0  # special tokens say nothing
        for part in feed_forwards(backbone):
            part.attention_output.weight.zero_()
            part.outer.weight.copy_(1e-3 * torch.randn(part.outer.weight.shape, generator=generator))
        words = {word: table[VOCABULARY.index(word)] for word in ("slip", "boundary", "heat")}
        part = feed_forwards(backbone)[LAYER]
        seen = torch.nn.functional.layer_norm(words["slip"], (16,))
        part.inner.weight[NEURON] = seen
        part.inner.bias[NEURON] = -12.0  # the neuron sees its word, 16 - 12, and no other
        part.outer.weight[:, NEURON] = 20 * torch.nn.functional.layer_norm(words["boundary"] + words["heat"], (16,))


@pytest.fixture
def subject(bert_folder, tmp_path) -> Subject:  # noqa: F811
    tower = Parts(Local(str(bert_folder)), pooling_named("mean"), EncoderSettings(), 0).tower("document")
    plant(tower.backbone)
    model = ProbedModel("planted", DualEncoder(tower, tower))
    split = Split(
        "test",
        Texts.from_pairs(DOCUMENTS.items()),
        Texts.from_pairs((query, text) for query, (text, _) in QUERIES.items()),
        {query: {document: 1} for query, (_, document) in QUERIES.items()},
        {},
    )
    dataset = Dataset("planted", {"test": split}, 1, False, "planted", {})
    encoding = EncodingSettings(device="cpu")
    return Subject({"planted": model}, dataset, split, InBatch(), BM25, encoding, tmp_path / "tables", "sound", 0)


def intervention(**settings) -> Intervention:
    usual = {
        "action": "erase",
        "unit": "neurons",
        "places": None,
        "side": "query",
        "facts": 3,
        "queries": ["planted"],
        "neurons": 1,
        "threshold": 0.1,
        "share": 0.5,
        "target": "score",
        "factor": 2.0,
        "measures": ["mrr@10"],
        "control_queries": 10,
        "control_seeds": 3,
        "write": None,
    }
    return Intervention(**{**usual, **settings})


def test_the_planted_neuron_is_found_and_its_erasure_removes_the_fact_alone(subject):
    probe = intervention()
    probe.prepare(subject)
    outcome = probe.run(subject)
    assert [(row["layer"], row["neuron"]) for row in outcome.tables["places"]] == [(LAYER, NEURON)]
    of = {(row["selection"], row["group"]): row for row in outcome.tables["changes"]}
    assert of["attributed", "affected"]["before"] == 1
    assert of["attributed", "affected"]["after"] < 1
    assert of["attributed", "control"]["before"] == of["attributed", "control"]["after"] == 1
    for control in ("random", "equally active"):
        assert of[control, "affected"]["change"] == of[control, "control"]["change"] == 0


def test_an_edited_corpus_is_encoded_again(subject):
    retrieval = EditedRetrieval(subject, subject.models["planted"], ["mrr@10"], None)
    rows = np.arange(4)
    skip = Edit("suppress", "layers", ((0,), (1,), (2,), (3,)))
    model = subject.models["planted"].tower("document")
    naive = {}
    for kind, texts in (("query", subject.split.queries), ("document", subject.split.documents)):
        # With all layers skipped, a text's vector is the mean of its embeddings.
        batch = model.pad(model.token_ids(texts.take(slice(None)), kind))
        with torch.no_grad():
            states = model.backbone.embeddings(batch["input_ids"])
            naive[kind] = model.head.vectors(states, batch["attention_mask"]).double().numpy()
    order = np.argsort(-(naive["query"] @ naive["document"].T), axis=1)
    ranks = [1 + list(DOCUMENTS).index(QUERIES[query][1]) for query in QUERIES]
    expected = [1 / (1 + list(row + 1).index(rank)) for row, rank in zip(order, ranks, strict=True)]
    found = retrieval.under({"query": skip, "document": skip}, rows)
    assert found[:, 0] == pytest.approx(expected)
    # Scores of a query that stands there twice are given twice.
    assert np.array_equal(retrieval.unedited(np.array([1, 0, 1]))[:, 0], retrieval.unedited(rows)[[1, 0, 1], 0])


def test_facts_are_documents_with_those_who_ask_for_them(subject):
    facts = {fact.document: fact for fact in facts_of(subject.dataset, subject.split, {"wing", "flow"})}
    assert facts == {"d1": Fact("d1", ("wing",)), "d2": Fact("d2", ("flow",))}


def test_an_undone_edit_computes_nothing_twice(subject, monkeypatch):
    retrieval = EditedRetrieval(subject, subject.models["planted"], ["mrr@10"], None)
    edits = {"query": Edit("suppress", "neurons", ((LAYER, NEURON),))}
    first = retrieval.under(edits, np.arange(4))
    monkeypatch.setattr(EditedRetrieval, "_measured", None)  # would be called for anything that is not kept
    assert np.array_equal(retrieval.under(edits, np.arange(4)), first)
