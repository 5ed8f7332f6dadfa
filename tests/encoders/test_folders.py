"""Checkpoints that must not be loaded, each refused in one sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.folders import find_folder, package_folder
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import AsSaved, Mean
from pipeline.errors import UserError
from tests.encoders.conftest import edit_json


def refusal(folder) -> str:
    """Load a folder and return the sentence that refuses it."""
    with pytest.raises(UserError) as error:
        Local(str(folder)).load("document", 0)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert str(folder) in sentence
    return sentence


def edit_weights(folder, change) -> None:
    """Change the weights of a folder through a function of the dictionary."""
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_weights_are_named(bert_folder):
    name = "bert.encoder.layer.2.output.dense.weight"
    edit_weights(bert_folder, lambda weights: {key: value for key, value in weights.items() if key != name})
    assert "missing are encoder.layer.2.output.dense.weight" in refusal(bert_folder)


def test_many_missing_weights_are_counted(bert_folder):
    edit_weights(bert_folder, lambda weights: {key: value for key, value in weights.items() if ".layer.2." not in key})
    sentence = refusal(bert_folder)
    assert "encoder.layer.2.attention.output.LayerNorm.bias" in sentence
    assert "and 13 more" in sentence


def test_unexpected_encoder_weights_are_named(bert_folder):
    edit_weights(bert_folder, lambda weights: {**weights, "bert.encoder.layer.4.output.dense.weight": torch.ones(2)})
    assert "unknown to it are bert.encoder.layer.4.output.dense.weight" in refusal(bert_folder)


def test_an_adapter_among_the_weights_is_not_dropped(bert_folder):
    edit_weights(bert_folder, lambda weights: {**weights, "bert.encoder.layer.0.adapter.weight": torch.ones(2)})
    assert "adapter.weight" in refusal(bert_folder)


def test_missing_weights_are_refused_beside_dropped_layers_too(bert_folder):
    name = "bert.encoder.layer.0.output.dense.weight"
    edit_weights(bert_folder, lambda weights: {key: value for key, value in weights.items() if key != name})
    with pytest.raises(UserError, match=r"missing are encoder\.layer\.0"):
        Local(str(bert_folder), layers=2).load("document", 0)


def test_weights_of_another_shape_are_named(bert_folder):
    edit_json(bert_folder / "config.json", intermediate_size=48)
    assert "of another shape are encoder.layer.0.intermediate.dense.bias (32,) for (48,)" in refusal(bert_folder)


def test_weights_of_another_architecture_are_refused(bert_folder, llama_folder):
    shutil.copy(llama_folder / "model.safetensors", bert_folder / "model.safetensors")
    sentence = refusal(bert_folder)
    assert "does not hold the weights of the BertModel" in sentence
    assert "missing are embeddings.LayerNorm.bias" in sentence


def test_an_unknown_architecture_is_refused(bert_folder):
    edit_json(bert_folder / "config.json", model_type="no-such-thing")
    assert "cannot be used" in refusal(bert_folder)


def test_weights_in_a_form_that_is_not_read_are_named(bert_folder):
    (bert_folder / "model.safetensors").rename(bert_folder / "tf_model.h5")
    assert "holds tf_model.h5, but no weights that are read here" in refusal(bert_folder)


def test_quantised_weights_are_refused_by_their_method(bert_folder):
    edit_json(bert_folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert "holds weights quantised by gptq" in refusal(bert_folder)


def test_code_of_a_model_is_refused_naming_the_option(bert_folder):
    edit_json(bert_folder / "config.json", auto_map={"AutoModel": "evil.Model"})
    (bert_folder / "evil.py").write_text("raise SystemExit('was run')")
    assert "trust_remote_code=true" in refusal(bert_folder)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no model.safetensors"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_half_written_folders_are_refused(bert_folder, file, sentence):
    (bert_folder / file).unlink()
    assert sentence in refusal(bert_folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_short_weights_are_refused(bert_folder, keep):
    path = bert_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path} is damaged or cut short" in refusal(bert_folder)


def test_cut_short_config_is_refused(bert_folder):
    (bert_folder / "config.json").write_text('{"model_type": "be')
    assert "config.json, line 1: malformed JSON" in refusal(bert_folder)


def test_cut_short_tokenizer_is_refused(bert_folder):
    path = bert_folder / "tokenizer.json"
    path.write_text(path.read_text()[:100])
    assert "tokenizer" in refusal(bert_folder)


def test_a_tokenizer_file_without_a_tokenizer_is_named(bert_folder):
    (bert_folder / "tokenizer.json").write_text("{}")
    assert f"{bert_folder / 'tokenizer.json'} holds no tokenizer; " in refusal(bert_folder)


def test_a_whole_file_counts_before_an_index(bert_folder):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (bert_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    expected = AutoModel.from_pretrained(bert_folder, add_pooling_layer=False).state_dict()
    found = Local(str(bert_folder)).load("document", 0).model.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_a_variant_alone_is_named_as_one(bert_folder):
    (bert_folder / "model.safetensors").rename(bert_folder / "model.fp16.safetensors")
    assert "has model.fp16.safetensors, a variant, but no model.safetensors;" in refusal(bert_folder)


def test_shards_without_their_index_are_refused_by_its_name(bert_folder):
    (bert_folder / "model.safetensors").rename(bert_folder / "model-00001-of-00002.safetensors")
    (bert_folder / "pytorch_model-00002-of-00002.bin").write_bytes(b"")
    assert "lacks model.safetensors.index.json" in refusal(bert_folder)


def test_a_missing_shard_is_named(bert_folder):
    weights = load_file(bert_folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, bert_folder / file, metadata={"format": "pt"})
    (bert_folder / "model.safetensors").unlink()
    index = {name: file for file, part in parts.items() for name in part}
    (bert_folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    Local(str(bert_folder)).load("document", 0)
    (bert_folder / "model-00002-of-00002.safetensors").unlink()
    assert "lacks model-00002-of-00002.safetensors" in refusal(bert_folder)


@pytest.fixture
def saved_folder(tmp_path, bert_folder):
    """A sentence-transformers folder with a projection."""
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Shared(), EncoderSettings(projection=8))
    dual.save(tmp_path / "model", "card")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ],
)
def test_half_written_sentence_transformers_folders_are_refused(saved_folder, file):
    open_tower(saved_folder)
    (saved_folder / file).unlink()
    with pytest.raises(UserError, match=r"half written"):
        open_tower(saved_folder)


def test_a_folder_without_modules_is_no_tower(bert_folder):
    with pytest.raises(UserError, match="backbone=local and a pooling"):
        open_tower(bert_folder)
    with pytest.raises(UserError, match=r"as_saved.*choose cls, mean, last or max"):
        build_dual_encoder(Local(str(bert_folder)), AsSaved(), Shared())


def test_unknown_modules_and_poolings_are_refused(saved_folder):
    edit_json(saved_folder / "1_Pooling" / "config.json", pooling_mode_attention_tokens=True)
    with pytest.raises(UserError, match="pools by mean and pooling_mode_attention_tokens"):
        open_tower(saved_folder)
    modules = json.loads((saved_folder / "modules.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.LSTM"
    (saved_folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match=r"sentence_transformers\.models\.LSTM, which is not known"):
        open_tower(saved_folder)
    modules[1]["type"], modules[2]["type"] = "sentence_transformers.models.Pooling", "evil.Module"
    (saved_folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match=r"a module evil\.Module, which is not known"):
        open_tower(saved_folder)


def test_an_activation_is_never_imported_by_name(saved_folder):
    edit_json(saved_folder / "2_Dense" / "config.json", activation_function="os.system")
    with pytest.raises(UserError, match=r"'os\.system' cannot be read"):
        open_tower(saved_folder)


def test_a_pair_with_one_side_missing_is_half_written(tmp_path, bert_folder):
    build_dual_encoder(Local(str(bert_folder)), Mean(), Twin()).save(tmp_path / "model", "")
    DualEncoder.load(tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "query")
    for file, sentence in (
        ("README.md", r"query/1_Pooling/config\.json is missing, so the model is only half written"),
        ("router_config.json", r"model/config\.json is missing, so the model is only half written"),
        ("modules.json", r"model has no config\.json, so it is no model folder or only half written"),
    ):
        (tmp_path / "model" / file).unlink()
        with pytest.raises(UserError, match=sentence):
            DualEncoder.load(tmp_path / "model")


def test_what_is_neither_a_folder_nor_within_reach(tmp_path):
    with pytest.raises(UserError, match="no folder /no/such"):
        find_folder("/no/such")
    with pytest.raises(UserError, match=r"no folder \./here"):
        find_folder("./here")
    with pytest.raises(UserError, match=r"google-bert/nothing is neither a folder here nor .*backbone\.path=FOLDER"):
        find_folder("google-bert/nothing")
    with pytest.raises(UserError, match="neither a folder"):
        find_folder("not a name!")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file where the folder"):
        find_folder(tmp_path / "file")


def test_a_missing_package_says_what_to_type():
    with pytest.raises(UserError, match="`pip install no-such`"):
        package_folder("no_such_package", "", "pip install no-such")
