"""Static towers: the plain definition, their gradients, their folders, and where their vectors come from."""

import json

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tokenizers import Tokenizer, processors

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import Mean
from pipeline.encoders.rarity import inverse_document_frequencies
from pipeline.encoders.static_query import Static
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.vocabulary import vocabulary_vectors
from pipeline.errors import UserError
from tests.cells import ROOT
from tests.encoders.conftest import TEXTS, VOCABULARY

TRAINING = Texts.from_pairs([("a", "the wing of a wing"), ("b", "the heat"), ("c", "the flow of heat")])


def tower_of(bert_folder, similarity="cosine", **prompts) -> StaticTower:
    document = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(max_length=9), "document", 0)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(VOCABULARY), 6, generator=generator)
    weights = torch.rand(len(VOCABULARY), generator=generator)
    return StaticTower(vectors, weights, document.tokenizer.without_special_tokens(), similarity, prompts)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_text_is_the_mean_of_its_weighted_token_vectors(bert_folder, similarity):
    tower = tower_of(bert_folder, similarity)
    vectors, weights = tower.token_vectors.detach().double(), tower.token_weights.detach().double()
    for text, ours in zip(TEXTS, encode(tower, TEXTS, "query"), strict=True):
        ids = tower.tokenizer.backend.encode(text, add_special_tokens=False).ids
        plain = sum((weights[token] * vectors[token] for token in ids), torch.zeros(6, dtype=torch.double))
        plain = plain / max(1, len(ids))
        if similarity == "cosine":
            plain = plain / max(float(plain.norm()), 1e-12)
        np.testing.assert_allclose(ours, plain.numpy(), atol=1e-6)


def test_training_and_encoding_give_the_same_vectors(bert_folder):
    tower = tower_of(bert_folder)
    with torch.no_grad():
        trained = tower(tower.pad(tower.token_ids(TEXTS, "query"))).numpy()
    np.testing.assert_allclose(trained, encode(tower, TEXTS, "query"), atol=1e-6)


def test_a_query_without_tokens_or_with_unknown_ones_has_a_defined_vector(bert_folder):
    vectors = encode(tower_of(bert_folder), ["", "  ", "zzz qqq"], "query")
    np.testing.assert_array_equal(vectors[:2], 0)
    assert np.linalg.norm(vectors[2]) == pytest.approx(1)


def test_sparse_gradients_are_the_dense_ones(bert_folder):
    gradients = []
    for sparse in (False, True):
        tower = tower_of(bert_folder)
        tower.sparse = sparse
        tower(tower.pad(tower.token_ids(TEXTS, "query"))).sin().sum().backward()
        gradients.append([weight.grad for weight in (tower.token_vectors, tower.token_weights)])
    for dense, sparse in zip(*gradients, strict=True):
        assert sparse.is_sparse
        np.testing.assert_allclose(sparse.to_dense().numpy(), dense.numpy(), atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_sentence_transformers_opens_a_static_tower_without_our_code(bert_folder, tmp_path, similarity):
    from sentence_transformers import SentenceTransformer

    tower = tower_of(bert_folder, similarity, query="query: ")
    tower.save(tmp_path / "saved", "the card")
    opened = open_tower(tmp_path / "saved")
    texts = [*TEXTS, "", "the lift of a wing in the slipstream of the flow of heat"]
    ours = encode(tower, texts, "query")
    np.testing.assert_allclose(encode(opened, texts, "query"), ours, atol=1e-6)
    assert opened.fingerprint("query") == tower.fingerprint("query")
    library = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(library.encode_query(texts), ours, atol=1e-5)


def test_a_static_query_tower_beside_its_document_tower_is_one_router(bert_folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Static("through_tower", "idf"), texts=[TRAINING])
    dual.save(tmp_path / "model", "the card")
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    opened = DualEncoder.load(tmp_path / "model")
    for kind, theirs in (("query", library.encode_query(TEXTS)), ("document", library.encode_document(TEXTS))):
        ours = encode(dual.tower(kind), TEXTS, kind)
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
        np.testing.assert_allclose(encode(opened.tower(kind), TEXTS, kind), ours, atol=1e-6)


def test_the_embedding_average_of_the_papers_code_has_the_special_tokens_in_it(bert_folder, tmp_path):
    """L = 0: the mean of the input embeddings of all that the tokenizer gives; so opened by sentence-transformers too."""
    from sentence_transformers import SentenceTransformer

    settings = EncoderSettings(query_prompt="query: ", max_length=9)
    with initialize_config_dir(str(ROOT / "conf" / "query"), version_base="1.3"):
        preset = compose("embedding_average")
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), instantiate(preset), settings)
    document, texts = dual.document, [*TEXTS, "", "the lift of a wing in the slipstream of the flow of heat"]
    embeddings = document.backbone.get_input_embeddings().weight.detach().double()
    plain = [embeddings[ids].mean(dim=0) for ids in document.token_ids(texts, "query")]
    plain = torch.stack([vector / vector.norm() for vector in plain]).numpy()
    np.testing.assert_allclose(encode(dual.query, texts, "query"), plain, atol=1e-6)
    without = build_dual_encoder(Local(str(bert_folder)), Mean(), Static("token_embeddings", "equal"), settings).query
    assert without.fingerprint("query") != dual.query.fingerprint("query")
    assert np.abs(encode(without, texts, "query") - plain).max() > 0.1
    dual.save(tmp_path / "model", "the card")
    opened = DualEncoder.load(tmp_path / "model").query
    assert opened.fingerprint("query") == dual.query.fingerprint("query")
    np.testing.assert_allclose(encode(opened, texts, "query"), plain, atol=1e-6)
    for folder in (tmp_path / "model", tmp_path / "model" / "query"):
        library = SentenceTransformer(str(folder), device="cpu")
        np.testing.assert_allclose(library.encode_query(texts), plain, atol=1e-5)


def test_special_tokens_are_in_every_text_and_so_are_not_rare(bert_folder):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Static("random", "idf", True), texts=[TRAINING])
    weights = dual.query.token_weights.detach()[:, 0].numpy()
    assert weights[VOCABULARY.index("[CLS]")] == pytest.approx(np.log(1 + 0.5 / 3.5))
    assert weights[VOCABULARY.index("the")] == pytest.approx(np.log(1 + 0.5 / 3.5))


def test_special_tokens_that_a_text_cannot_spell_are_refused(bert_folder):
    known = tower_of(bert_folder).tokenizer
    described = json.loads(known.backend.to_str())
    unspelled = Tokenizer.from_str(json.dumps({**described, "added_tokens": []}))
    unspelled.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    with pytest.raises(UserError, match=r"does not read \[CLS\] in a text .* choose query\.special_tokens=false"):
        TextTokenizer(unspelled, known.special, 9, "right").special_prompt()


def test_through_tower_is_each_token_as_a_text_of_its_own(bert_folder, tmp_path):
    document = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(), "document", 0)
    vectors = vocabulary_vectors(document, EncodingSettings(), tmp_path)
    for word in ("wing", "heat"):
        cosine = encode(document, [word], "document")[0] @ vectors[VOCABULARY.index(word)]
        assert cosine == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(vocabulary_vectors(document, EncodingSettings(), tmp_path), vectors)
    assert len(list((tmp_path / "vocabularies").glob("*.safetensors"))) == 1


def test_token_embeddings_and_random_vectors(bert_folder):
    for init in ("token_embeddings", "random"):
        dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Static(init, "equal"))
        assert dual.query.dimension == dual.document.dimension
        embeddings = dual.document.backbone.get_input_embeddings().weight[: len(VOCABULARY)]
        assert torch.equal(dual.query.token_vectors, embeddings) == (init == "token_embeddings")


def test_rarity_counts_documents_not_words(bert_folder):
    tokenizer = tower_of(bert_folder).tokenizer
    rarity = inverse_document_frequencies(tokenizer, [TRAINING], "a test")
    expected = {"the": 3, "wing": 1, "heat": 2, "lift": 0}
    for word, count in expected.items():
        plain = np.log(1 + (3 - count + 0.5) / (count + 0.5))
        assert rarity[VOCABULARY.index(word)] == pytest.approx(plain, rel=1e-6)


def test_what_cannot_be_built_is_refused(bert_folder):
    with pytest.raises(UserError, match="weighs tokens by their rarity in the training split"):
        build_dual_encoder(Local(str(bert_folder)), Mean(), Static("random", "idf"))
    with pytest.raises(UserError, match=r"query\.init=token_embedding is unknown; did you mean token_embeddings"):
        Static("token_embedding", "idf")
    with pytest.raises(UserError, match=r"query\.special_tokens=maybe must be true or false"):
        Static("random", "idf", "maybe")
    with pytest.raises(UserError, match=r"choose query\.init=through_tower"):
        build_dual_encoder(
            Local(str(bert_folder)), Mean(), Static("token_embeddings", "equal"), EncoderSettings(projection=5)
        )
    tower = tower_of(bert_folder)
    with pytest.raises(UserError, match="take a tokenizer and vectors that belong together"):
        StaticTower(torch.zeros(3, 6), torch.ones(3), tower.tokenizer)
