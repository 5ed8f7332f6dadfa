"""Models by their name on a hub: out of its cache, laid out as the hub's own client does, and fetched from a small hub."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, Twin, build_dual_encoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.folders import find_folder
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import Mean
from pipeline.errors import UserError
from pipeline.files import digest_of_file
from pipeline.store import sharing
from tests.encoders.conftest import TEXTS, edit_json
from tests.encoders.test_weight_files import Caller, pickled, sharded, vectors  # noqa: F401

NAME = "someone/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cached(cache, folder, leave_out=()) -> Path:
    """Lay a folder down in the cache: blobs by their hash, and a snapshot of links to them."""
    repository = cache / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name in leave_out:
            continue
        blob = repository / "blobs" / digest_of_file(path)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, blob)
        place = snapshot / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_a_cached_snapshot_of_pickles_is_whole(cache, bert_folder, tmp_path):
    expected = vectors(bert_folder)
    snapshot = cached(cache, pickled(bert_folder))
    assert find_folder(NAME) == snapshot
    with sharing(tmp_path / "store"):
        assert (vectors(NAME) == expected).all()


def test_a_cached_snapshot_of_pickled_shards_is_whole_when_all_are_there(cache, sharded):  # noqa: F811
    folder, _ = sharded
    cached(cache, folder)
    assert (vectors(NAME) == vectors(folder)).all()
    shutil.rmtree(cache)
    cached(cache, folder, leave_out=["pytorch_model-00002-of-00002.bin"])
    with pytest.raises(UserError, match="not whole in the local cache"):
        find_folder(NAME)


def test_a_malicious_pickle_in_the_cache_is_not_run(cache, bert_folder, tmp_path):
    (bert_folder / "model.safetensors").unlink()
    torch.save({"bert.x": Caller(tmp_path / "ran")}, bert_folder / "pytorch_model.bin")
    cached(cache, bert_folder)
    with pytest.raises(UserError, match=r"pytorch_model\.bin is not read: it names \S+check_call"):
        vectors(NAME)
    assert not (tmp_path / "ran").exists()


def test_modules_without_their_weights_are_not_whole(cache, bert_folder, tmp_path):
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Shared(), EncoderSettings(projection=8))
    dual.save(tmp_path / "model", "")
    pickled(tmp_path / "model" / "2_Dense")
    cached(cache, tmp_path / "model")
    expected = encode(dual.document, TEXTS, "document")
    assert (encode(open_tower(Path(NAME)), TEXTS, "document") == expected).all()
    shutil.rmtree(cache)
    cached(cache, tmp_path / "model", leave_out=["pytorch_model.bin"])
    with pytest.raises(UserError, match="not whole in the local cache"):
        find_folder(NAME)


@pytest.fixture
def hub(tmp_path, monkeypatch, cache):
    """A hub on this machine that serves the files of a folder as the model's, and notes what was fetched."""
    folder, fetched = tmp_path / "served", []

    class Hub(BaseHTTPRequestHandler):
        def answer(self, content, kind="application/json"):
            self.send_response(200)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": COMMIT,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_GET(self):
            asked = unquote(self.path.partition("?")[0])
            if asked.startswith(f"/api/models/{NAME}"):
                files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
                listing = {"_id": "0", "id": NAME, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
                tree = [
                    {"type": "file", "path": file, "size": path.stat().st_size, "oid": digest_of_file(path)}
                    for file, path in files.items()
                ]
                self.answer(json.dumps(tree if "/tree/" in asked else listing).encode())
            elif asked.startswith(f"/{NAME}/resolve/"):
                file = asked.split("/", 5)[5]
                if self.command == "GET":
                    fetched.append(file)
                self.answer((folder / file).read_bytes(), "application/octet-stream")
            else:
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield folder, fetched
    server.shutdown()


def test_pickles_are_fetched_only_where_no_safetensors_lie(hub, bert_folder, tmp_path):
    folder, fetched = hub
    dual = build_dual_encoder(Local(str(bert_folder)), Mean(), Shared(), EncoderSettings(projection=8))
    dual.save(folder, "")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    pickled(folder / "2_Dense")
    for further in ("training_args.bin", "optimizer.pt", "onnx/model.onnx", "tf_model.h5", "modeling_own.py"):
        (folder / further).parent.mkdir(exist_ok=True)
        (folder / further).write_bytes(b"x")
    tower = open_tower(Path(NAME))
    assert (encode(tower, TEXTS, "document") == encode(dual.document, TEXTS, "document")).all()
    assert {"model.safetensors", "2_Dense/pytorch_model.bin"} == {
        file for file in fetched if not file.endswith((".json", ".txt"))
    }


def test_code_is_fetched_only_where_it_is_trusted(hub, bert_folder):
    folder, fetched = hub
    expected = vectors(bert_folder)
    shutil.copytree(bert_folder, folder)
    pickled(folder)
    edit_json(
        folder / "config.json", model_type="own_bert", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.OwnModel"}
    )
    (folder / "own.py").write_text(
        "from transformers import BertConfig, BertModel\n"
        "class Own(BertConfig):\n    model_type = 'own_bert'\n"
        "class OwnModel(BertModel):\n    config_class = Own\n"
    )
    with pytest.raises(UserError, match="trust_remote_code=true"):
        Local(NAME).load("document", 0)
    assert "pytorch_model.bin" in fetched
    assert "own.py" not in fetched
    dual = build_dual_encoder(Local(NAME, trust_remote_code=True), Mean(), Shared())
    assert "own.py" in fetched
    assert (encode(dual.document, TEXTS, "document") == expected).all()


def test_a_hub_model_in_a_form_that_is_not_read_is_refused_before_it_is_fetched(hub):
    folder, fetched = hub
    folder.mkdir()
    for file in ("config.json", "tf_model.h5"):
        (folder / file).write_text("{}")
    with pytest.raises(UserError, match=f"{NAME} holds tf_model.h5, but no weights that are read"):
        find_folder(NAME)
    assert not fetched


def test_a_pair_of_towers_in_the_cache_is_whole(cache, bert_folder, tmp_path):
    build_dual_encoder(Local(str(bert_folder)), Mean(), Twin()).save(tmp_path / "pair", "")
    snapshot = cached(cache, tmp_path / "pair")
    assert find_folder(NAME) == snapshot


def test_trusted_code_that_is_not_in_the_cache_is_missing(cache, bert_folder):
    edit_json(bert_folder / "config.json", auto_map={"AutoModel": "own.OwnModel"})
    cached(cache, bert_folder)
    assert find_folder(NAME).is_dir()
    with pytest.raises(UserError, match="not whole in the local cache"):
        find_folder(NAME, trust_remote_code=True)
    shutil.rmtree(cache)
    edit_json(bert_folder / "config.json", auto_map={"AutoModel": "someone/code--own.OwnModel"})
    cached(cache, bert_folder)
    assert find_folder(NAME, trust_remote_code=True).is_dir()
