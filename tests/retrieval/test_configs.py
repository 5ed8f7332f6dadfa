"""Every config of the index and lexical groups, composed and used."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pipeline.data.texts import Texts
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.index import Index
from pipeline.retrieval.table import Table

CONF = Path(__file__).resolve().parents[2] / "conf"


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(group, name):
    with initialize_config_dir(str(CONF / group), version_base="1.3"):
        return compose(name)


def test_all_are_there():
    assert names("index") == ["faiss", "faiss_hnsw", "faiss_ivf", "faiss_pq", "torch"]
    assert "bm25" in names("lexical")


@pytest.mark.parametrize("name", names("index"))
def test_every_index_finds_a_document_by_itself(name, tmp_path):
    config = composed("index", name)
    if name == "faiss_ivf":
        config.factory = "IVF8,Flat"  # the table is small
    index = instantiate(config)
    assert isinstance(index, Index)
    vectors = np.random.default_rng(0).standard_normal((300, 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.prepare(Table.from_array(vectors), tmp_path)
    assert (index.search(vectors[:20], 3).positions[:, 0] == np.arange(20)).mean() > 0.9
    assert index.name


def test_bm25_is_made(tmp_path):
    bm25 = instantiate(composed("lexical", "bm25"))
    assert isinstance(bm25, Bm25)
    bm25.build(Texts.from_pairs([("a", "wings"), ("b", "heat")]), tmp_path)
    assert bm25.search(["wing"], 1).positions.tolist() == [[0]]
