"""Folders of model2vec, made by hand in its layout, open as static towers: its own vectors, or sentence-transformers'."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.static_tower import StaticTower
from pipeline.errors import UserError
from tests.encoders.conftest import TEXTS, VOCABULARY, save_tokenizer

QUERIES = [*TEXTS, "", "zzz", "the zzz lift of a qqq wing", "heat " * 600 + "flow " * 900]
UNKNOWN = VOCABULARY.index("[UNK]")


def made(folder, parts=(), dtype="float32", normalize=True, listed=False):
    """Write a folder as model2vec does; `parts` are those that it has after quantising its vocabulary."""
    generator = np.random.default_rng(0)
    size = 7 if "mapping" in parts else len(VOCABULARY)
    weights = {"embeddings": generator.normal(size=(size, 6)).astype(dtype)}
    if "mapping" in parts:
        weights["mapping"] = generator.integers(0, size, len(VOCABULARY))
    if "weights" in parts:
        weights["weights"] = generator.uniform(0.1, 2, len(VOCABULARY))
    save_tokenizer(folder)
    (folder / "tokenizer_config.json").unlink()
    save_file(weights, folder / "model.safetensors")
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": normalize}
    (folder / "config.json").write_text(json.dumps(config))
    if listed:
        kinds = ["StaticEmbedding", *(["Normalize"] if normalize else [])]
        entries = [
            {"idx": place, "name": str(place), "path": ".", "type": f"sentence_transformers.models.{kind}"}
            for place, kind in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(entries))
    return folder, weights


PARTS = [(), ("weights",), ("mapping",), ("mapping", "weights")]


def plain(weights, tokenizer, text):
    """What model2vec says of a text: the mean over its first 512 tokens, unknown ones left out."""
    ids = [token for token in tokenizer.encode(text, add_special_tokens=False).ids[:512] if token != UNKNOWN]
    rows = [
        weights["embeddings"][weights["mapping"][token] if "mapping" in weights else token].astype(float)
        * (weights["weights"][token] if "weights" in weights else 1)
        for token in ids
    ]
    mean = np.mean(rows, axis=0) if rows else np.zeros(6)
    return mean / (np.linalg.norm(mean) or 1)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("parts", PARTS, ids="+".join)
def test_token_vectors_are_mapped_and_weighed(tmp_path, parts, normalize):
    folder, weights = made(tmp_path / "model", parts, normalize=normalize)
    tower = DualEncoder.load(folder).document
    assert isinstance(tower, StaticTower)
    expected = [plain(weights, tower.tokenizer.cut_to(10**6).backend, text) for text in QUERIES]
    np.testing.assert_allclose(encode(tower, QUERIES, "query"), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("parts", PARTS, ids="+".join)
def test_vectors_are_those_of_the_library_itself(tmp_path, parts, dtype):
    model2vec = pytest.importorskip("model2vec")
    folder, _ = made(tmp_path / "model", parts, dtype)
    theirs = model2vec.StaticModel.from_pretrained(folder).encode(QUERIES)
    atol = 1e-3 if dtype == "float16" else 1e-5  # in which it averages
    np.testing.assert_allclose(encode(open_tower(folder), QUERIES, "query"), theirs, atol=atol)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("parts", PARTS, ids="+".join)
def test_with_its_modules_listed_it_is_what_sentence_transformers_opens(tmp_path, parts, normalize):
    st = pytest.importorskip("sentence_transformers")
    folder, _ = made(tmp_path / "model", parts, normalize=normalize, listed=True)
    tower = open_tower(folder)
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(QUERIES)
    if not normalize:
        theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True).clip(min=1e-12)
    np.testing.assert_allclose(encode(tower, QUERIES, "query"), theirs, atol=1e-5)


@pytest.mark.parametrize("direction", ["left", "right"])
def test_the_tokenizer_s_own_cut_is_made_on_its_own_side(tmp_path, direction):
    st = pytest.importorskip("sentence_transformers")
    folder, _ = made(tmp_path / "model", listed=True)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(3, direction=direction)
    backend.save(str(folder / "tokenizer.json"))
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encode(open_tower(folder), TEXTS, "query"), theirs, atol=1e-5)


def test_it_is_trained_saved_and_opened_by_sentence_transformers(tmp_path):
    st = pytest.importorskip("sentence_transformers")
    tower = open_tower(made(tmp_path / "model", ("mapping", "weights"))[0])
    before = encode(tower, TEXTS, "query")
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.1)
    tower(tower.pad(tower.token_ids(TEXTS, "query"))).square().sum(0)[0].backward()
    optimizer.step()
    ours = encode(tower, QUERIES, "query")
    assert np.abs(ours[: len(TEXTS)] - before).max() > 1e-3
    tower.save(tmp_path / "saved", "")
    np.testing.assert_allclose(encode(open_tower(tmp_path / "saved"), QUERIES, "query"), ours, atol=1e-6)
    library = st.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(library.encode(QUERIES), ours, atol=1e-5)


def test_what_follows_the_look_up_is_honoured_or_refused(tmp_path):
    folder, _ = made(tmp_path / "model", listed=True)
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match=r"has StaticEmbedding, Dense; known are StaticEmbedding alone, and Normalize"):
        open_tower(folder)


def test_what_is_half_written_is_refused(tmp_path):
    folder, _ = made(tmp_path / "model")
    save_file({"table": np.ones((2, 2))}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"hold neither embedding\.weight nor embeddings but table"):
        open_tower(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="half written"):
        open_tower(folder)
