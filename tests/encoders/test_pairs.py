"""Folders of sentence-transformers with a Router, as LEAF's pairs are published, open as pairs with its vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import AsSaved, Cls
from pipeline.encoders.static_query import Static
from pipeline.encoders.static_tower import StaticTower
from pipeline.errors import UserError
from tests.encoders.conftest import TEXTS, edit_json
from tests.encoders.test_hub import NAME, cache, cached  # noqa: F401 - a fixture

st = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.models")

SETTINGS = {"device": "cpu", "prompts": {"query": "query: ", "document": "passage: "}}


def saved(folder, chain, **settings):
    """Let the library save modules, the weights of its layers all random."""
    torch.manual_seed(0)
    model = st.SentenceTransformer(modules=chain, **SETTINGS, **settings)
    for module in model.modules():
        if isinstance(module, modules.Dense):
            torch.nn.init.normal_(module.linear.weight, std=0.5)
    model.save(str(folder))
    return folder


def leaf(bert, distilbert):
    """A small query tower with a Dense up to the document tower's width, each normalised within its route."""
    return modules.Router.for_query_document(
        query_modules=[
            modules.Transformer(str(distilbert), max_seq_length=9),
            modules.Pooling(16, "mean"),
            modules.Dense(16, 12, activation_function=torch.nn.Identity()),
            modules.Normalize(),
        ],
        document_modules=[
            modules.Transformer(str(bert), max_seq_length=14),
            modules.Pooling(16, "cls"),
            modules.Dense(16, 12, bias=False),
            modules.Normalize(),
        ],
    )


def same(dual, folder):
    model = st.SentenceTransformer(str(folder), device="cpu")
    for kind, encoded in (("query", model.encode_query), ("document", model.encode_document)):
        np.testing.assert_allclose(encode(dual.tower(kind), TEXTS, kind), encoded(TEXTS, batch_size=1), atol=1e-5)


@pytest.fixture
def leaf_folder(bert_folder, bare_bert_folder, tmp_path):
    return saved(tmp_path / "leaf", [leaf(bert_folder, bare_bert_folder)])


def test_a_router_of_two_transformers_is_a_pair(leaf_folder, tmp_path):
    assert not (leaf_folder / "query").exists()
    dual = DualEncoder.load(leaf_folder)
    assert not dual.symmetric
    assert (dual.query.max_length, dual.document.max_length) == (9, 14)
    same(dual, leaf_folder)
    dual.save(tmp_path / "ours", "")
    same(DualEncoder.load(tmp_path / "ours"), tmp_path / "ours")


def test_a_pair_opens_by_its_name_out_of_the_hub_s_cache(cache, leaf_folder):  # noqa: F811
    """Nothing of a model lies in its root but lists of modules."""
    cached(cache, leaf_folder)
    same(DualEncoder.load(Path(NAME)), leaf_folder)


@pytest.mark.parametrize("chosen", ["theirs", "ours"])
def test_a_pair_is_trained_as_a_pair(leaf_folder, tmp_path, chosen):
    """Also one that was saved here, whose root names the modules of both, and the run folder that it lies in."""
    DualEncoder.load(leaf_folder).save(tmp_path / "run" / "model", "")
    backbone = Local(str(leaf_folder if chosen == "theirs" else tmp_path / "run"))
    dual = build_dual_encoder(backbone, AsSaved(), Twin(), EncoderSettings())
    same(dual, leaf_folder)
    assert not Twin().copies(backbone)
    with pytest.raises(UserError, match=r"has two checkpoints, one for each side; choose query=twin"):
        build_dual_encoder(backbone, AsSaved(), Shared(), EncoderSettings())


def test_modules_around_a_router_are_of_both(bert_folder, tmp_path):
    """An Asym behind one transformer: both sides share it, and each has a Dense of its own."""
    heads = {kind: [modules.Dense(16, 12)] for kind in ("query", "document")}
    chain = [modules.Transformer(str(bert_folder)), modules.Pooling(16), modules.Asym(heads), modules.Normalize()]
    folder = saved(tmp_path / "theirs", chain)
    dual = DualEncoder.load(folder)
    assert dual.query.backbone is dual.document.backbone
    assert not torch.equal(dual.query.projections[0].linear.weight, dual.document.projections[0].linear.weight)
    same(dual, folder)
    (folder / "2_Router" / "router_config.json").rename(folder / "2_Router" / "config.json")
    edit = json.loads((folder / "modules.json").read_text())
    edit[2]["type"] = "sentence_transformers.models.Asym"
    (folder / "modules.json").write_text(json.dumps(edit))
    same(DualEncoder.load(folder), folder)


def test_a_route_may_end_normalized_and_the_other_not(leaf_folder, tmp_path):
    """Then the lengths of documents count in their inner product."""
    path = leaf_folder / "router_config.json"
    structure = json.loads(path.read_text())["structure"]
    edit_json(path, structure={**structure, "document": structure["document"][:-1]})
    edit_json(leaf_folder / "config_sentence_transformers.json", similarity_fn_name="dot")
    dual = DualEncoder.load(leaf_folder)
    assert dual.similarity == "dot"
    same(dual, leaf_folder)
    dual.save(tmp_path / "ours", "")
    same(DualEncoder.load(tmp_path / "ours"), tmp_path / "ours")


def test_a_static_route_is_a_static_tower(bert_folder, tmp_path):
    transformer = modules.Transformer(str(bert_folder))
    static = modules.StaticEmbedding(transformer.tokenizer.backend_tokenizer, embedding_dim=16)
    router = modules.Router.for_query_document([static], [transformer, modules.Pooling(16)])
    folder = saved(tmp_path / "theirs", [router, modules.Normalize()])
    dual = DualEncoder.load(folder)
    assert isinstance(dual.query, StaticTower)
    same(dual, folder)
    for query in (Shared(), Twin()):
        with pytest.raises(UserError, match=r"The query tower of .* is of token vectors alone and .*; choose another"):
            build_dual_encoder(Local(str(folder)), AsSaved(), query, EncoderSettings())


def test_what_of_a_pair_with_a_light_query_tower_may_be_a_backbone_is_named(bert_folder, tmp_path):
    pair = build_dual_encoder(Local(str(bert_folder)), Cls(), Static("token_embeddings", "equal"))
    pair.save(tmp_path / "run" / "model", "")
    refusals = set()
    for query in (Shared(), Twin()):
        with pytest.raises(UserError, match="The query tower of") as error:
            build_dual_encoder(Local(str(tmp_path / "run")), AsSaved(), query)
        refusals.add(str(error.value))
    (refusal,) = refusals
    path = refusal.rsplit("backbone.path=", 1)[1].removesuffix(".")
    again = build_dual_encoder(Local(path), AsSaved(), Shared()).document
    assert again.fingerprint("document") == pair.document.fingerprint("document")


def test_routes_are_found_as_the_library_finds_them(leaf_folder):
    path = leaf_folder / "router_config.json"
    config = json.loads(path.read_text())
    parameters = config["parameters"]
    edit_json(path, parameters={**parameters, "route_mappings": {"('query', None)": "document"}})
    dual = DualEncoder.load(leaf_folder)
    assert dual.symmetric
    same(dual, leaf_folder)
    edit_json(path, parameters=parameters, structure={"query": config["structure"]["query"]})
    with pytest.raises(UserError, match=r"router_config\.json has no route for a document, but query"):
        DualEncoder.load(leaf_folder)
    edit_json(path, parameters={"route_mappings": {"query, None": "query"}})
    with pytest.raises(UserError, match="route_mappings that cannot be read: query, None"):
        DualEncoder.load(leaf_folder)
    path.unlink()
    with pytest.raises(UserError, match="half written"):
        DualEncoder.load(leaf_folder)


def test_modules_of_a_route_are_checked_like_others(leaf_folder):
    path = leaf_folder / "router_config.json"
    config = json.loads(path.read_text())
    name = config["structure"]["query"][0]
    edit_json(path, types={**config["types"], name: "custom_st.Transformer"})
    with pytest.raises(UserError, match=r"has a module custom_st\.Transformer, which is not known here"):
        DualEncoder.load(leaf_folder)
    with pytest.raises(UserError, match=r"custom_st\.Transformer"):
        open_tower(leaf_folder, "query")
