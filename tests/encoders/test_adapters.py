"""LoRA adapters that peft made, merged: equal to W + scale * B A by hand, and refused where they do not belong."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from pipeline.encoders.adapters import RepLlama
from pipeline.encoders.backbones import Llama
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.low_rank import CONFIG, STEM
from pipeline.encoders.pooling import Last
from pipeline.errors import UserError
from pipeline.store import sharing
from tests.encoders.conftest import SMALL, TEXTS, edit_json, llama_folder, make  # noqa: F401
from tests.encoders.test_weight_files import Caller, pickled

peft = pytest.importorskip("peft")
WEIGHTS = f"{STEM}.safetensors"
RANK, ALPHA = 3, 12
TARGETS = ["q_proj", "v_proj", "down_proj"]


def save_adapter(folder, model, **settings):
    """Train nothing, but give the adapter weights that matter, and save it as peft does."""
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, **settings)
    wrapped = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))
    wrapped.save_pretrained(folder)
    return folder


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

    from tests.encoders.conftest import BERT

    folder = make(tmp_path / "bert", BertModel, BertConfig(**BERT))
    with pytest.raises(UserError, match="no causal decoder"):
        opened(folder, adapter)
