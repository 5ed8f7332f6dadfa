"""Pickles of weights give the vectors of the same weights in safetensors, and nothing that they name is run."""

import json
import pickle
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import Cls, Mean
from pipeline.errors import UserError
from pipeline.probing.attribution.pooler import read_pooler
from pipeline.store import sharing
from tests.encoders.conftest import TEXTS


def pickled(folder, name="pytorch_model.bin", safe="model.safetensors", **settings):
    """Turn a folder's safetensors into a pickle of the same weights."""
    torch.save(load_file(folder / safe), folder / name, **settings)
    (folder / safe).unlink()
    return folder


def vectors(folder):
    return encode(build_dual_encoder(Local(str(folder)), Mean(), Shared()).document, TEXTS, "document")


class Caller:
    """What a pickle needs to make a file when it is read as pickles are."""

    def __init__(self, path, function=subprocess.check_call) -> None:
        self.call = (function, (["touch", str(path)],))

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("settings", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_pickle_gives_the_vectors_of_its_safetensors(bert_folder, tmp_path, settings):
    expected = vectors(bert_folder)
    pickled(bert_folder, **settings)
    assert (vectors(bert_folder) == expected).all()
    with sharing(tmp_path / "store"):
        assert (vectors(bert_folder) == expected).all()
    assert sorted(path.name for path in bert_folder.iterdir() if "model" in path.name) == ["pytorch_model.bin"]


def test_a_pickle_is_converted_once_and_that_is_said(bert_folder, tmp_path, capsys):
    pickled(bert_folder)
    with sharing(tmp_path / "store"):
        first = vectors(bert_folder)
        (kept,) = (tmp_path / "store" / "weights").glob("*.safetensors")
        said, written = capsys.readouterr().out, kept.stat().st_mtime_ns
        assert f"Converted {bert_folder / 'pytorch_model.bin'} to safetensors, once for all runs: {kept}." in said
        (bert_folder / "pytorch_model.bin").rename(tmp_path / "pytorch_model.bin")
        shutil.copytree(bert_folder, tmp_path / "moved")
        shutil.move(tmp_path / "pytorch_model.bin", tmp_path / "moved" / "pytorch_model.bin")
        assert (vectors(tmp_path / "moved") == first).all()
        assert kept.stat().st_mtime_ns == written
        assert capsys.readouterr().out == ""


def test_a_changed_pickle_is_converted_again(bert_folder, tmp_path):
    pickled(bert_folder)
    with sharing(tmp_path / "store"):
        before = vectors(bert_folder)
        weights = torch.load(bert_folder / "pytorch_model.bin", weights_only=True)
        weights["bert.embeddings.word_embeddings.weight"] += 1.0
        torch.save(weights, bert_folder / "pytorch_model.bin")
        assert (vectors(bert_folder) != before).any()
    assert len(list((tmp_path / "store" / "weights").glob("*.safetensors"))) == 2


def test_a_conversion_that_was_killed_is_made_again(bert_folder, tmp_path, monkeypatch):
    pickled(bert_folder)
    expected = vectors(bert_folder)

    def killed(weights, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with sharing(tmp_path / "store"):
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.encoders.weight_files.save_file", killed)
            with pytest.raises(KeyboardInterrupt):
                vectors(bert_folder)
        assert not list((tmp_path / "store" / "weights").glob("*.safetensors"))
        assert (vectors(bert_folder) == expected).all()


def test_a_damaged_conversion_is_made_again(bert_folder, tmp_path):
    pickled(bert_folder)
    with sharing(tmp_path / "store"):
        expected = vectors(bert_folder)
        (kept,) = (tmp_path / "store" / "weights").glob("*.safetensors")
        kept.write_bytes(kept.read_bytes()[:-1])
        assert (vectors(bert_folder) == expected).all()


@pytest.fixture
def sharded(bert_folder):
    """The tiny BERT's weights as pickles in two shards with an index, as transformers wrote them."""
    weights = load_file(bert_folder / "model.safetensors")
    names = sorted(weights)
    (bert_folder / "model.safetensors").unlink()
    parts = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    for file, part in parts.items():
        torch.save({name: weights[name] for name in part}, bert_folder / file)
    index = {name: file for file, part in parts.items() for name in part}
    (bert_folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return bert_folder, weights


def test_shards_are_read_and_a_missing_one_is_named(sharded, tmp_path):
    folder, weights = sharded
    whole = shutil.copytree(folder, tmp_path / "whole", ignore=shutil.ignore_patterns("pytorch_model*"))
    save_file(weights, whole / "model.safetensors", metadata={"format": "pt"})
    for store in (None, tmp_path / "store"):
        with sharing(store):
            assert (vectors(folder) == vectors(whole)).all()
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(UserError, match=r"lacks pytorch_model-00002-of-00002\.bin"):
        vectors(folder)


def test_safetensors_beside_a_pickle_are_read(bert_folder, tmp_path):
    expected = vectors(bert_folder)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        torch.save({"x": Caller(tmp_path / "ran")}, bert_folder / name)
    assert (vectors(bert_folder) == expected).all()
    assert not (tmp_path / "ran").exists()


def test_other_safetensors_do_not_stand_for_a_pickle(bert_folder):
    expected = vectors(bert_folder)
    halves = {name: value.half() for name, value in load_file(bert_folder / "model.safetensors").items()}
    pickled(bert_folder)
    save_file(halves, bert_folder / "model.fp16.safetensors", metadata={"format": "pt"})
    assert (vectors(bert_folder) == expected).all()


def test_tied_and_transposed_weights_are_read(bert_folder, tmp_path):
    expected = vectors(bert_folder)
    weights = load_file(bert_folder / "model.safetensors")
    words, dense = "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.output.dense.weight"
    weights["cls.predictions.decoder.weight"] = weights[words]
    weights[dense] = weights[dense].T.contiguous().T
    weights["bert.embeddings.LayerNorm.weight"] = torch.nn.Parameter(weights["bert.embeddings.LayerNorm.weight"])
    (bert_folder / "model.safetensors").unlink()
    torch.save(weights, bert_folder / "pytorch_model.bin")
    loaded = torch.load(bert_folder / "pytorch_model.bin", weights_only=True)
    assert loaded["cls.predictions.decoder.weight"].data_ptr() == loaded[words].data_ptr()
    assert not loaded[dense].is_contiguous()
    for store in (None, tmp_path / "store"):
        with sharing(store):
            assert (vectors(bert_folder) == expected).all()


def test_old_names_of_a_layer_norm_are_known(bert_folder):
    expected = vectors(bert_folder)
    weights = load_file(bert_folder / "model.safetensors")
    (bert_folder / "model.safetensors").unlink()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    assert "bert.encoder.layer.3.output.LayerNorm.gamma" in old
    torch.save(old, bert_folder / "pytorch_model.bin")
    assert (vectors(bert_folder) == expected).all()


def test_a_modules_pickle_is_read(bert_folder, tmp_path):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Shared(), EncoderSettings(projection=8))
    dual.save(tmp_path / "model", "")
    expected = encode(open_tower(tmp_path / "model"), TEXTS, "document")
    pickled(tmp_path / "model")
    pickled(tmp_path / "model" / "2_Dense")
    with sharing(tmp_path / "store"):
        assert (encode(open_tower(tmp_path / "model"), TEXTS, "document") == expected).all()
    assert len(list((tmp_path / "store" / "weights").glob("*.safetensors"))) == 2
    torch.save({"linear.weight": Caller(tmp_path / "ran")}, tmp_path / "model" / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"2_Dense/pytorch_model\.bin is not read: it names \S+check_call"):
        open_tower(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


def test_the_real_minilm_as_a_pickle_is_bit_for_bit_the_same(minilm_folder, tmp_path):
    shutil.copytree(minilm_folder, tmp_path / "minilm")
    expected = encode(open_tower(minilm_folder), TEXTS, "document")
    pickled(tmp_path / "minilm")
    with sharing(tmp_path / "store"):
        assert (encode(open_tower(tmp_path / "minilm"), TEXTS, "document") == expected).all()


@pytest.mark.parametrize("settings", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
@pytest.mark.parametrize("shared", [False, True])
def test_what_a_pickle_names_is_not_run(bert_folder, tmp_path, settings, shared):
    (bert_folder / "model.safetensors").unlink()
    torch.save({"bert.x": Caller(tmp_path / "ran")}, bert_folder / "pytorch_model.bin", **settings)
    with sharing(tmp_path / "store" if shared else None), pytest.raises(UserError) as refused:
        vectors(bert_folder)
    assert f"{bert_folder / 'pytorch_model.bin'} is not read: it " in str(refused.value)
    assert ("FRAME" if "pickle_protocol" in settings else "check_call") in str(refused.value)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("store/weights/*.safetensors"))


def test_the_pickles_of_these_tests_would_run(tmp_path):
    pickle.loads(pickle.dumps(Caller(tmp_path / "ran")))  # noqa: S301 - our own
    assert (tmp_path / "ran").exists()


def test_a_bare_pickle_and_a_shard_are_not_run_either(sharded, tmp_path):
    folder, _ = sharded
    shard = folder / "pytorch_model-00002-of-00002.bin"
    for content in (pickle.dumps(Caller(tmp_path / "ran"), protocol=2), pickle.dumps(Caller(tmp_path / "ran"))):
        shard.write_bytes(content)
        with pytest.raises(UserError, match=r"pytorch_model-00002-of-00002\.bin is not read"):
            vectors(folder)
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"bert.x": torch.ones(2), "args": {"a": 1}}, "holds 'args', a dict, where only plain tensors"),
        ({"state_dict": {"bert.x": torch.ones(2)}}, "holds 'state_dict', a dict"),
        ({3: torch.ones(2)}, "holds 3, a Tensor"),
        ([torch.ones(2)], "holds a list where weights by name"),
        ({"x": torch.ones(2, 2).to_sparse()}, "holds 'x', a Tensor"),
        ({"x": torch.ones(2, device="meta")}, "holds 'x', a Tensor"),
        (b"", "is empty or cut short"),
        (b"version https://git-lfs.github.com/spec/v1", "it is no pickle"),
    ],
)
def test_what_is_no_pickle_of_weights_is_refused(bert_folder, content, sentence):
    (bert_folder / "model.safetensors").unlink()
    path = bert_folder / "pytorch_model.bin"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=sentence) as refused:
        vectors(bert_folder)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cut_pickle_is_refused(bert_folder):
    path = pickled(bert_folder) / "pytorch_model.bin"
    whole = path.read_bytes()
    for length in (1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"pytorch_model\.bin is not read"):
            vectors(bert_folder)


def test_a_pooler_is_read_out_of_a_pickle(bare_bert_folder):
    def pooler():
        return read_pooler(
            build_dual_encoder(Local(str(bare_bert_folder)), Cls(), Shared()).document, "base"
        ).state_dict()

    expected = pooler()
    pickled(bare_bert_folder)
    assert all(torch.equal(value, expected[name]) for name, value in pooler().items())
