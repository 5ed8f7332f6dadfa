import pytest

from pipeline.encoders.tokenization import TextTokenizer
from tests.encoders.conftest import bare_bert_folder, bert_folder, llama_folder, make, one_thread, save_tokenizer  # noqa: F401


@pytest.fixture
def tiny_tokenizer(tmp_path) -> TextTokenizer:
    save_tokenizer(tmp_path / "tokenizer")
    return TextTokenizer.load(tmp_path / "tokenizer", wanted=None, saved=None, limit=None)
