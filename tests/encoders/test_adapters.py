"""LoRA adapters that peft made, merged: equal to W + scale * B A by hand, and refused where they do not belong."""

import json
import shutil

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import BertModel, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, LlamaModel

from pipeline.encoders.adapters import RepLlama
from pipeline.encoders.backbones import Llama, Local
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.low_rank import CONFIG, STEM
from pipeline.encoders.pooling import AsSaved, Last
from pipeline.errors import UserError
from pipeline.store import sharing
from tests.encoders.conftest import BERT, SMALL, TEXTS, edit_json, llama_folder, make  # noqa: F401
from tests.encoders.test_weight_files import Caller, pickled

peft = pytest.importorskip("peft")
WEIGHTS = f"{STEM}.safetensors"
RANK, ALPHA = 3, 12
TARGETS = ["q_proj", "v_proj", "down_proj"]


def save_adapter(folder, model, **settings):
    """Train nothing, but give the adapter weights that matter, and save it as peft does."""
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, **settings)
    wrapped = peft.get_peft_model(model, config)
    randomise(wrapped)
    wrapped.save_pretrained(folder)
    return folder


def randomise(model):
    """Give the weights of adapters values that matter."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))


@pytest.fixture
def adapter(tmp_path, llama_folder):  # noqa: F811
    """An adapter over the tiny Llama, as RepLLaMA's lies over the bare Llama 2."""
    return save_adapter(tmp_path / "adapter", LlamaModel.from_pretrained(llama_folder))


def by_hand(folder, adapter_folder, scale):
    """W + scale * B A in float64."""
    weights = {name: value.double() for name, value in LlamaModel.from_pretrained(folder).state_dict().items()}
    parts = load_file(adapter_folder / WEIGHTS)
    for name in [name for name in parts if ".lora_A." in name]:
        below, above = parts[name].double(), parts[name.replace(".lora_A.", ".lora_B.")].double()
        target = name.removeprefix("base_model.model.").removeprefix("model.").replace(".lora_A.weight", ".weight")
        weights[target] = weights[target] + scale * above @ below
    return weights


def opened(folder, adapter_folder, **settings):
    return RepLlama(str(folder), adapter=str(adapter_folder), **settings).load("document", 0).model


@pytest.mark.parametrize("rslora", [False, True])
def test_merging_is_what_it_is_by_hand(tmp_path, llama_folder, rslora):  # noqa: F811
    folder = save_adapter(tmp_path / "adapter", LlamaModel.from_pretrained(llama_folder), use_rslora=rslora)
    model = opened(llama_folder, folder)
    expected = by_hand(llama_folder, folder, ALPHA / (RANK**0.5 if rslora else RANK))
    plain = Llama(str(llama_folder)).load("document", 0).model.state_dict()
    assert type(model) is LlamaModel
    assert model.state_dict().keys() == plain.keys()
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-5)
        assert torch.equal(value, plain[name]) == (not any(f".{target}." in name for target in TARGETS))
    assert all(weight.requires_grad for weight in model.parameters())


def test_an_adapter_over_a_language_models_head_is_the_same(tmp_path, llama_folder, adapter):  # noqa: F811
    folder = save_adapter(tmp_path / "headed", LlamaForCausalLM.from_pretrained(llama_folder), task_type="CAUSAL_LM")
    assert any(name.startswith("base_model.model.model.") for name in load_file(folder / WEIGHTS))
    found, expected = opened(llama_folder, folder).state_dict(), opened(llama_folder, adapter).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_merged_tower_is_an_ordinary_one(tmp_path, llama_folder, adapter):  # noqa: F811
    edit_json(llama_folder / "tokenizer_config.json", eos_token="[SEP]")
    settings = EncoderSettings(append_eos=True, query_prompt="query: ", document_prompt="passage: ")
    dual = build_dual_encoder(RepLlama(str(llama_folder), adapter=str(adapter)), Last(), Shared(), settings)
    plain = build_dual_encoder(Llama(str(llama_folder)), Last(), Shared(), settings)
    assert dual.document.fingerprint("query") != plain.document.fingerprint("query")
    dual.save(tmp_path / "saved", "")
    again = type(dual).load(tmp_path / "saved")
    assert again.document.fingerprint("query") == dual.document.fingerprint("query")
    assert (encode(again.document, TEXTS, "query") == encode(dual.document, TEXTS, "query")).all()


def test_layers_random_and_freeze_go_with_an_adapter(llama_folder, adapter):  # noqa: F811
    whole, short = opened(llama_folder, adapter), opened(llama_folder, adapter, layers=2, freeze=["layer 0"])
    for name, value in short.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
    assert not short.layers[0].self_attn.q_proj.weight.requires_grad
    assert short.layers[1].self_attn.q_proj.weight.requires_grad
    drawn = opened(llama_folder, "nowhere", init="random").state_dict()
    plain = Llama(str(llama_folder), init="random").load("document", 0).model.state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in drawn.items())


def test_half_precision_adapters_are_merged_in_float32(llama_folder, adapter):  # noqa: F811
    save_file({name: value.half() for name, value in load_file(adapter / WEIGHTS).items()}, adapter / WEIGHTS)
    expected = by_hand(llama_folder, adapter, ALPHA / RANK)
    for name, value in opened(llama_folder, adapter).state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-5)


def _wider(tmp_path, adapter):
    config = LlamaConfig(
        **SMALL, hidden_size=24, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, intermediate_size=32
    )
    save_adapter(adapter, LlamaModel(config))


def _deeper(tmp_path, adapter):
    weights = load_file(adapter / WEIGHTS)
    more = {name.replace("layers.3.", "layers.4."): value.clone() for name, value in weights.items()}
    save_file(weights | more, adapter / WEIGHTS)


def _lacking(tmp_path, adapter):
    weights = load_file(adapter / WEIGHTS)
    save_file({name: value for name, value in weights.items() if "layers.2." not in name}, adapter / WEIGHTS)


def _pickled(tmp_path, adapter):
    torch.save({"base_model.model.x": Caller(tmp_path / "ran")}, adapter / "adapter_model.bin")
    (adapter / WEIGHTS).unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_wider, r"made for another transformer: .* of another shape, such as .*\(3, 24\) for \(3, 16\)"),
        (_deeper, "made for another transformer: 6 weights are unknown to it, such as .*layers.4"),
        (_lacking, "made for another transformer: 6 weights are missing, such as .*layers.2"),
        (_pickled, r"adapter_model\.bin is not read: it names \S+check_call"),
        (lambda tmp_path, adapter: (adapter / WEIGHTS).unlink(), "model.safetensors is missing"),
        (lambda tmp_path, adapter: (adapter / WEIGHTS).write_bytes(b"cut"), "damaged or cut short"),
        (lambda tmp_path, adapter: (adapter / CONFIG).unlink(), "has no adapter_config.json, so it is no adapter"),
        (
            lambda tmp_path, adapter: edit_json(adapter / CONFIG, target_modules=["query"]),
            "cannot be put on a LlamaModel .*give the base that it was trained over, ",
        ),
        (
            lambda tmp_path, adapter: edit_json(adapter / CONFIG, peft_type="IA3"),
            "an adapter of the kind IA3; only LORA",
        ),
        (
            lambda tmp_path, adapter: edit_json(adapter / CONFIG, alora_invocation_tokens=[3]),
            "cannot be merged .aLoRA does not support merging",
        ),
    ],
)
def test_a_wrong_adapter_is_refused(tmp_path, llama_folder, adapter, spoil, sentence):  # noqa: F811
    spoil(tmp_path, adapter)
    with pytest.raises(UserError, match=sentence) as refused:
        opened(llama_folder, adapter)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_an_adapters_pickle_is_merged_like_its_safetensors(tmp_path, llama_folder, adapter):  # noqa: F811
    expected = opened(llama_folder, adapter).state_dict()
    pickled(adapter, "adapter_model.bin", WEIGHTS)
    for store in (None, tmp_path / "store"):
        with sharing(store):
            found = opened(llama_folder, adapter).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_the_base_is_named_where_the_adapter_names_it(llama_folder, adapter):  # noqa: F811
    edit_json(adapter / CONFIG, base_model_name_or_path="some/llama")
    _lacking(None, adapter)
    with pytest.raises(UserError, match="trained over, some/llama"):
        opened(llama_folder, adapter)


def test_without_peft_the_command_that_installs_it_is_said(monkeypatch, llama_folder, adapter):  # noqa: F811
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install peft==0\.21\.2"):
        opened(llama_folder, adapter)


def test_an_adapter_over_an_encoder_is_refused(tmp_path, adapter):
    from transformers import BertConfig, BertModel

    folder = make(tmp_path / "bert", BertModel, BertConfig(**BERT))
    with pytest.raises(UserError, match="no causal decoder"):
        opened(folder, adapter)


BERT_TARGETS = ["query", "value", "dense"]


@pytest.fixture
def adapted(tmp_path, bare_bert_folder):
    """A sentence-transformers folder with an adapter and no transformer, as that library saves it, and its vectors."""
    model = SentenceTransformer(str(bare_bert_folder), device="cpu")
    model.add_adapter(peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=BERT_TARGETS))
    randomise(model)
    model.save_pretrained(str(tmp_path / "adapted"))
    assert not (tmp_path / "adapted" / "config.json").exists()
    model = SentenceTransformer(str(tmp_path / "adapted"), device="cpu")
    return tmp_path / "adapted", model.encode(TEXTS, normalize_embeddings=True)


def test_an_adapter_in_a_sentence_transformers_folder_is_merged(tmp_path, bare_bert_folder, adapted):
    folder, expected = adapted
    plain = SentenceTransformer(str(bare_bert_folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    for weights in (WEIGHTS, "adapter_model.bin"):
        if weights.endswith(".bin"):
            pickled(folder, weights, WEIGHTS)
        tower = open_tower(folder)
        assert type(tower.backbone) is BertModel
        torch.testing.assert_close(encode(tower, TEXTS, "document"), expected, atol=1e-5, rtol=1e-5)
    assert abs(plain - expected).max() > 0.01
    as_backbone = build_dual_encoder(Local(str(folder)), AsSaved(), Shared()).document
    torch.testing.assert_close(encode(as_backbone, TEXTS, "document"), expected, atol=1e-5, rtol=1e-5)
    tower.save(tmp_path / "merged", "")
    shutil.rmtree(folder)
    torch.testing.assert_close(
        encode(open_tower(tmp_path / "merged"), TEXTS, "document"), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["LayerNorm"]},
        {"trainable_token_indices": [3, 5]},
        {"init_lora_weights": "pissa"},
        {"target_modules": "all-linear", "rank_pattern": {"query": 2}, "alpha_pattern": {"value": 7}},
    ],
    ids=str,
)
def test_an_adapter_of_any_kind_gives_the_vectors_that_it_was_trained_to(tmp_path, bare_bert_folder, settings):
    model = SentenceTransformer(str(bare_bert_folder), device="cpu")
    model.add_adapter(peft.LoraConfig(**{"r": RANK, "target_modules": BERT_TARGETS, **settings}))
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(6)) * weight.requires_grad
    model.save_pretrained(str(tmp_path / "adapted"))
    expected = model.encode(TEXTS, normalize_embeddings=True)
    found = encode(open_tower(tmp_path / "adapted"), TEXTS, "document")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_beside_its_base_is_merged(bare_bert_folder, adapted):
    folder, expected = adapted
    for file in ("config.json", "model.safetensors"):
        shutil.copy(bare_bert_folder / file, folder / file)
    edit_json(folder / CONFIG, base_model_name_or_path="no/longer-there")
    tower = open_tower(folder)
    assert not any("lora" in name for name, _ in tower.named_parameters())
    tower.save(folder.with_name("saved"), "")
    for opened_again in (tower, open_tower(folder.with_name("saved"))):
        torch.testing.assert_close(encode(opened_again, TEXTS, "document"), expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_without_its_base_is_refused_by_the_bases_name(adapted):
    folder, _ = adapted
    for base, sentence in (
        ("some/bert", "is an adapter over some/bert, which is missing .some/bert is neither a folder here nor"),
        ("/no/such/folder", "is an adapter over /no/such/folder, which is missing .There is no folder /no/such/folder"),
    ):
        edit_json(folder / CONFIG, base_model_name_or_path=base)
        with pytest.raises(UserError, match=f"{folder} {sentence}"):
            open_tower(folder)


def test_an_adapter_over_an_adapter_or_over_nothing_is_refused_without_asking_for_it(adapted, monkeypatch):
    folder, _ = adapted
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)  # calling it fails
    other = shutil.copytree(folder, folder.with_name("other"))
    edit_json(folder / CONFIG, base_model_name_or_path=str(other))
    with pytest.raises(
        UserError, match=f"over {other}, which is an adapter itself; adapters over adapters are not read"
    ):
        open_tower(folder)
    edit_json(folder / CONFIG, base_model_name_or_path=None)
    with pytest.raises(UserError, match=f"{CONFIG} names no base; "):
        open_tower(folder)


def test_a_malicious_adapter_in_a_sentence_transformers_folder_is_not_run(tmp_path, adapted):
    folder, _ = adapted
    _pickled(tmp_path, folder)
    with pytest.raises(UserError, match=r"adapted/adapter_model\.bin is not read: it names \S+check_call"):
        open_tower(folder)
    assert not (tmp_path / "ran").exists()


def test_a_plain_adapter_folder_is_a_backbone(llama_folder, adapter):  # noqa: F811
    expected = opened(llama_folder, adapter)
    loaded = Llama(str(adapter)).load("document", 0)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in loaded.model.state_dict().items())


def test_a_head_that_was_trained_beside_the_adapter_is_left_out(tmp_path, llama_folder, adapter):  # noqa: F811
    headed = LlamaForSequenceClassification.from_pretrained(llama_folder)
    folder = save_adapter(tmp_path / "headed", headed, task_type="SEQ_CLS")
    assert any("score" in name for name in load_file(folder / WEIGHTS))
    found, expected = opened(llama_folder, folder).state_dict(), opened(llama_folder, adapter).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_repllama_opens_as_it_is_published(tmp_path, llama_folder, adapter):  # noqa: F811
    expected = opened(llama_folder, adapter).state_dict()
    published = {  # the fields that peft wrote in its time
        "base_model_name_or_path": "meta-llama/Llama-2-7b-hf",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.1,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": RANK,
        "revision": None,
        "target_modules": TARGETS,
        "task_type": "FEATURE_EXTRACTION",
    }
    pickled(adapter, "adapter_model.bin", WEIGHTS)
    (adapter / CONFIG).write_text(json.dumps(published))
    with sharing(tmp_path / "store"):
        found = opened(llama_folder, adapter).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
