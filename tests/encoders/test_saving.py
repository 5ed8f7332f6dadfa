"""Saved towers are whole, the same every time, and give the same vectors in sentence-transformers."""

import errno
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from pipeline.encoders import saving
from pipeline.encoders.backbones import Llama, Local, MiniLM
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import AsSaved, Cls, Last, Max, Mean
from pipeline.encoders.projection import Projection
from pipeline.errors import UserError
from pipeline.files import digest_of_file
from tests.encoders.conftest import TEXTS, VOCABULARY, make


def theirs(folder, kind, texts=TEXTS, **settings):
    """Encode a saved folder with the library itself."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", **settings)
    return (model.encode_query if kind == "query" else model.encode_document)(texts, batch_size=3)


def assert_same_vectors(tower, folder, texts=TEXTS, **settings):
    """Compare towers, opened folder and library, for both kinds."""
    opened = open_tower(folder)
    for kind in ("query", "document"):
        ours = encode(tower, texts, kind)
        np.testing.assert_allclose(encode(opened, texts, kind), ours, atol=1e-6)
        other = theirs(folder, kind, texts, **settings)
        cosines = (ours * other).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(other, axis=1)
        assert cosines.min() >= 0.9999
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), np.linalg.norm(ours, axis=1), rtol=1e-4)


SETTINGS = {
    "cosine": {},
    "dot": {"similarity": "dot"},
    "projection": {"projection": 8},
    "prompts": {"query_prompt": "query: ", "document_prompt": "passage: "},
    "short": {"max_length": 6},
    "all": {
        "similarity": "dot",
        "projection": 24,
        "query_prompt": "query: ",
        "document_prompt": "passage: ",
        "max_length": 9,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("pooling", [Mean(), Cls(), Last(), Max()], ids=lambda pooling: pooling.name)
def test_sentence_transformers_gives_our_vectors(bert_folder, tmp_path, pooling, settings):
    tower = build_tower(Local(str(bert_folder), layers=3), pooling, EncoderSettings(**settings), "document", 0)
    tower.save(tmp_path / "saved", "")
    assert_same_vectors(tower, tmp_path / "saved")


def test_of_any_architecture(any_folder, tmp_path):
    tower = build_tower(Local(str(any_folder), layers=2), Mean(), EncoderSettings(projection=8), "document", 0)
    tower.save(tmp_path / "saved", "")
    assert_same_vectors(tower, tmp_path / "saved")


STORIES = ["Once upon a time", "a", "There was a little girl who liked to play outside in the park with her red ball."]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", [Mean(), Cls(), Last(), Max()], ids=lambda pooling: pooling.name)
def test_of_a_real_llama_with_eos(stories_folder, tmp_path, pooling, side):
    settings = EncoderSettings(append_eos=True, query_prompt="Find: ", projection=16)
    tower = build_tower(Llama(str(stories_folder), layers=4), pooling, settings, "document", 0)
    tower.tokenizer.padding_side = side
    tower.save(tmp_path / "saved", "")
    assert open_tower(tmp_path / "saved").tokenizer.padding_side == side
    assert_same_vectors(tower, tmp_path / "saved", STORIES)


def test_of_the_real_minilm_as_saved(tmp_path, minilm_folder):
    """Opened as a backbone, the original gives its own library's vectors, and so does what is saved of it."""
    tower = build_tower(MiniLM(), AsSaved(), EncoderSettings(), "document", 0)
    texts = [*TEXTS, "Lift of a wing in a slipstream. " * 40]
    ours = encode(tower, texts, "document")
    assert ((ours * theirs(minilm_folder, "document", texts)).sum(1) >= 0.9999).all()
    tower.save(tmp_path / "saved", "")
    assert_same_vectors(tower, tmp_path / "saved", texts)


def test_opening_a_saved_bert_makes_no_untrained_layer(bert_folder, tmp_path, capfd):
    build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(), "document", 0).save(tmp_path / "saved", "")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tmp_path / "saved"))
    assert all(not value.any() for name, value in model.named_parameters() if "pooler" in name)
    assert "MISSING" not in capfd.readouterr().err
    assert "model_args" not in json.loads((tmp_path / "saved" / "sentence_bert_config.json").read_text())


ROTARY = {
    "llama": (
        {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    ),
    "phi": ({"rope_theta": 500.0, "partial_rotary_factor": 0.5}, {"rope_theta": 500.0, "partial_rotary_factor": 0.5}),
    "gpt_neox": ({"rotary_emb_base": 500, "rotary_pct": 0.5}, {"rotary_emb_base": 500, "rotary_pct": 0.5}),
    "modernbert": (
        {"global_rope_theta": 500.0, "local_rope_theta": 70.0},
        {"global_rope_theta": 500.0, "local_rope_theta": 70.0},
    ),
    "gemma3_text": (
        {"rope_theta": 500.0, "rope_local_base_freq": 70.0, "head_dim": 8},
        {"rope_theta": 500.0, "rope_local_base_freq": 70.0},
    ),
}


@pytest.mark.parametrize("kind", ROTARY)
def test_rotary_positions_are_named_as_older_versions_name_them(tmp_path, kind):
    """Version 4 of transformers takes its defaults, and gives other vectors, where it does not find its own names."""
    given, wanted = ROTARY[kind]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    small = {**sizes, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "cls_token_id": 2, "sep_token_id": 3}
    model_class = AutoModel._model_mapping[type(AutoConfig.for_model(kind))]
    folder = make(tmp_path / kind, model_class, AutoConfig.for_model(kind, **small, **ids, **given))
    tower = build_tower(Local(str(folder)), Mean(), EncoderSettings(), "document", 0)
    tower.save(tmp_path / "saved", "")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert {name: config[name] for name in wanted} == wanted
    assert open_tower(tmp_path / "saved").fingerprint("document") == tower.fingerprint("document")
    assert_same_vectors(tower, tmp_path / "saved")


def test_a_folder_of_the_library_is_a_backbone(tmp_path, bert_folder):
    """Written by sentence-transformers itself: a Dense layer with tanh, prompts, no normalisation, dot."""
    from sentence_transformers import SentenceTransformer, models

    torch.manual_seed(0)
    transformer = models.Transformer(str(bert_folder), max_seq_length=32)
    dense = models.Dense(16, 12)
    model = SentenceTransformer(
        modules=[transformer, models.Pooling(16, "lasttoken"), dense],
        prompts={"query": "query: ", "passage": "passage: "},
        similarity_fn_name="dot",
        device="cpu",
    )
    model.save(str(tmp_path / "theirs"))
    dual = build_dual_encoder(Local(str(tmp_path / "theirs")), AsSaved(), Shared())
    assert (dual.dimension, dual.similarity, dual.document.max_length) == (12, "dot", 32)
    assert dual.document.prompts == {"query": "query: ", "document": "passage: "}
    np.testing.assert_allclose(encode(dual.query, TEXTS, "query"), model.encode_query(TEXTS), atol=1e-5)
    expected = model.encode(TEXTS, prompt_name="passage")
    np.testing.assert_allclose(encode(dual.document, TEXTS, "document"), expected, atol=1e-5)
    dual.save(tmp_path / "ours", "")
    assert_same_vectors(dual.document, tmp_path / "ours")
    other = build_tower(Local(str(tmp_path / "theirs")), Mean(), EncoderSettings(query_prompt=""), "query", 0)
    assert (other.dimension, other.prompts["query"], other.similarity) == (16, "", "dot")
    fresh = build_tower(Local(str(tmp_path / "theirs"), init="random"), AsSaved(), EncoderSettings(), "query", 0)
    assert fresh.dimension == 12
    drawn = fresh.state_dict()["projections.0.linear.weight"]
    assert not torch.equal(drawn, dual.query.state_dict()["projections.0.linear.weight"])


def test_two_towers_make_two_folders(bert_folder, tmp_path):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Twin(), EncoderSettings(query_prompt="query: "))
    with torch.no_grad():
        next(dual.query.parameters()).mul_(1.5)
    dual.save(tmp_path / "model", "the card")
    assert (tmp_path / "model" / "README.md").read_text() == "the card"
    opened = DualEncoder.load(tmp_path / "model")
    assert not opened.symmetric
    for kind in ("query", "document"):
        np.testing.assert_allclose(encode(opened.tower(kind), TEXTS, kind), encode(dual.tower(kind), TEXTS, kind))
        assert_same_vectors(dual.tower(kind), tmp_path / "model" / kind)
        together = theirs(tmp_path / "model", kind)
        np.testing.assert_allclose(together, encode(dual.tower(kind), TEXTS, kind), atol=1e-5)


def test_one_tower_makes_one_folder_and_keeps_its_separator(bert_folder, tmp_path):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Shared(), EncoderSettings(title_separator=" [SEP] "))
    dual.save(tmp_path / "model", "the card")
    assert (tmp_path / "model" / "README.md").read_text() == "the card"
    opened = DualEncoder.load(tmp_path / "model")
    assert opened.symmetric
    assert opened.document.title_separator == " [SEP] "


def test_only_safetensors_are_written_and_always_the_same_bytes(bert_folder, tmp_path):
    tower = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(projection=8), "document", 0)
    for name in ("one", "two"):
        tower.save(tmp_path / name, "card")
    open_tower(tmp_path / "one").save(tmp_path / "three", "card")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md"}
    for path in files:
        digests = {digest_of_file(tmp_path / name / path) for name in ("one", "two", "three")}
        assert len(digests) == 1, path
    assert {value.dtype for value in load_file(tmp_path / "one" / "model.safetensors").values()} == {torch.float32}


def test_saving_again_replaces_and_leaves_nothing_beside(bert_folder, tmp_path):
    tower = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(projection=8), "document", 0)
    place = tmp_path / "run" / "model"
    tower.save(place, "one")
    (place / "stray").write_text("")
    (tmp_path / "run" / ".model.part").mkdir()
    tower.save(place, "two")
    assert (place / "README.md").read_text() == "two"
    assert not (place / "stray").exists()
    assert [path.name for path in place.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("killed")])
def test_a_save_that_fails_leaves_the_old_folder(bert_folder, tmp_path, monkeypatch, error):
    tower = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(), "document", 0)
    tower.save(tmp_path / "model", "old")
    before = {path: digest_of_file(path) for path in (tmp_path / "model").rglob("*") if path.is_file()}

    def fail(*_):
        raise error

    monkeypatch.setattr(saving, "_settings", fail)
    expected = UserError if isinstance(error, OSError) else RuntimeError
    with pytest.raises(expected):
        tower.save(tmp_path / "model", "new")
    assert {path: digest_of_file(path) for path in (tmp_path / "model").rglob("*") if path.is_file()} == before
    assert not (tmp_path / ".model.part").exists()


def test_the_folder_reads_like_the_library_s_own(bert_folder, tmp_path):
    tower = build_tower(Local(str(bert_folder)), Last(), EncoderSettings(projection=8), "document", 0)
    tower.save(tmp_path / "model", "")
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
    assert isinstance(tower.projections[0], Projection)
