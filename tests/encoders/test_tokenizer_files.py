"""A tokenizer is what its folder says: the file, with what its settings name; and a SentencePiece model is itself."""

import io
import json
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.tokenizer_files import PROBES
from pipeline.errors import UserError
from tests.encoders.conftest import edit_json, save_tokenizer

TEXTS = [
    "Once upon a time there was a little girl",
    "Élan naïve café",
    "日本語 中文",
    "Hello, World! 12 a_b",
    *PROBES[:4],
]
REMARK = "this version of transformers makes other token ids"


def written(folder: Path, backend: Tokenizer, model_type: str, **settings) -> Path:
    """Write the files of a tokenizer as checkpoints have them."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def opened(folder: Path) -> TextTokenizer:
    return TextTokenizer.load(folder, wanted=None, saved=None, limit=512)


def bert_like(normalizer=None, template="[CLS] $A [SEP]") -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizer or normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend.train_from_iterator([*TEXTS, *(text.lower() for text in TEXTS)], trainer)
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return backend


def llama_like(normalizer, template="<s> $A") -> Tokenizer:
    backend = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    backend.normalizer, backend.decoder = normalizer, decoders.Fuse()
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=["<unk>", "<s>", "</s>", *pieces], show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1), ("</s>", 2)])
    return backend


def unigram(template: str) -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 0), ("</s>", 2)])
    return backend


LLAMA = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
PREPENDED = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
REBUILT = {
    "bert with another normaliser": lambda: (
        bert_like(normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])),
        "bert",
        {"tokenizer_class": "BertTokenizer"},
    ),
    "bert with another template": lambda: (
        bert_like(template="[CLS] $A"),
        "bert",
        {"tokenizer_class": "BertTokenizer"},
    ),
    "a cased bert that does not say so": lambda: (
        bert_like(normalizers.BertNormalizer(lowercase=False)),
        "bert",
        {"tokenizer_class": "BertTokenizer"},
    ),
    "llama": lambda: (llama_like(PREPENDED), "llama", LLAMA),
    "llama without a space before": lambda: (llama_like(normalizers.Replace(" ", "▁")), "llama", LLAMA),
    "llama with its end in the file": lambda: (llama_like(PREPENDED, "<s> $A </s>"), "llama", LLAMA),
    "xlm-roberta": lambda: (unigram("<s> $A </s>"), "xlm-roberta", {"tokenizer_class": "XLMRobertaTokenizer"}),
}


@pytest.mark.parametrize("kind", REBUILT)
def test_ids_are_those_of_the_file_where_the_library_rebuilds_it(tmp_path, kind):
    backend, model_type, settings = REBUILT[kind]()
    read = opened(written(tmp_path, backend, model_type, **settings))
    assert read.token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]
    (note,) = read.notes
    assert REMARK in note
    assert read.cut_to(9).notes == read.notes


SETTINGS = {
    "cased": ({"do_lower_case": False}, normalizers.BertNormalizer(lowercase=False)),
    "with accents": ({"strip_accents": False}, normalizers.BertNormalizer(strip_accents=False)),
    "words of Chinese": ({"tokenize_chinese_chars": False}, normalizers.BertNormalizer(handle_chinese_chars=False)),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_of_bert_that_change_ids_are_honoured(tmp_path, kind):
    settings, normalizer = SETTINGS[kind]
    backend = bert_like()
    read = opened(written(tmp_path, backend, "bert", tokenizer_class="BertTokenizer", **settings))
    before = [encoding.ids for encoding in backend.encode_batch(TEXTS)]
    backend.normalizer = normalizer
    assert read.token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)] != before
    assert read.notes == []


def test_a_class_without_lower_case_ignores_it_as_the_library_does(tmp_path):
    backend = bert_like(normalizers.BertNormalizer(lowercase=False))
    read = opened(written(tmp_path, backend, "bert", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=True))
    assert read.token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]


@pytest.mark.parametrize(
    ("settings", "begin", "end"),
    [
        ({"add_bos_token": True, "add_eos_token": True}, [1], [2]),
        ({"add_eos_token": True}, [1], [2]),
        ({"add_bos_token": False}, [], []),
    ],
)
def test_begin_and_end_tokens_are_as_the_settings_say(tmp_path, settings, begin, end):
    """As in e5-mistral, whose file ends no text; transformers 5 leaves the setting out."""
    backend = llama_like(PREPENDED)
    content = [encoding.ids for encoding in backend.encode_batch(TEXTS, add_special_tokens=False)]
    read = opened(written(tmp_path, backend, "llama", **LLAMA, **settings))
    assert read.token_ids(TEXTS)[0] == [[*begin, *ids, *end] for ids in content]


def test_a_space_before_the_text_is_as_the_settings_say(tmp_path):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    read = opened(written(tmp_path, backend, "gpt2", tokenizer_class="GPT2Tokenizer", add_prefix_space=True))
    assert read.token_ids(["girl"])[0] == [backend.encode(" girl").ids] != [backend.encode("girl").ids]


def test_tokens_that_settings_name_are_added(tmp_path):
    """As many decoders get something to pad with; the file does not know it."""
    backend = llama_like(PREPENDED)
    read = opened(written(tmp_path, backend, "llama", **LLAMA, pad_token="<pad>"))
    assert read.pad_id == backend.get_vocab_size()
    assert read.token_ids(["a<pad>"])[0][0][-1] == read.pad_id
    assert read.token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]


def test_flags_of_added_tokens_are_those_of_the_settings(tmp_path):
    backend = bert_like()
    described = {"4": {"content": "[MASK]", "lstrip": True, "special": True, "normalized": False}}
    read = opened(written(tmp_path, backend, "bert", tokenizer_class="BertTokenizer", added_tokens_decoder=described))
    assert AddedToken("[MASK]", lstrip=True, special=True) in read.backend.get_added_tokens_decoder().values()


def test_a_class_that_nobody_knows_leaves_the_file(tmp_path):
    backend = unigram("<s> $A </s>")
    read = opened(written(tmp_path, backend, "mpnet", tokenizer_class="MPNetTokenizer"))
    assert read.token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]


def test_special_tokens_that_are_to_be_split_are_refused(tmp_path):
    save_tokenizer(tmp_path, split_special_tokens=True)
    with pytest.raises(UserError, match="split_special_tokens, which is not known here"):
        opened(tmp_path)


def test_a_vocabulary_alone_opens(tmp_path):
    """As BERT was first published: vocab.txt, lower case; and RoBERTa: vocab.json and merges.txt."""
    backend = bert_like()
    vocabulary = backend.get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert opened(tmp_path).token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    assert opened(tmp_path).token_ids(TEXTS)[0] == [encoding.ids for encoding in backend.encode_batch(TEXTS)]


def test_vocabulary_and_merges_alone_open(tmp_path):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.model.save(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    right = [[0, *encoding.ids, 2] for encoding in backend.encode_batch(TEXTS)]
    assert opened(tmp_path).token_ids(TEXTS)[0] == right


def sentence_pieces(folder: Path, name: str, architecture: str, **settings) -> sentencepiece.SentencePieceProcessor:
    """Train a SentencePiece model, write it as a folder's only tokenizer, and give its own reader."""
    model = io.BytesIO()
    common = {"hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3), model_writer=model, **common, **settings
    )
    (folder / name).write_bytes(model.getvalue())
    (folder / "config.json").write_text(json.dumps({"model_type": architecture}))
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


BYTES = {
    "vocab_size": 450,
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}
UNIGRAM = {"vocab_size": 130, "model_type": "unigram"}
MODELS = {
    "t5": ("spiece.model", UNIGRAM | {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}, 0, [], [1], {}),
    "xlm-roberta": ("sentencepiece.bpe.model", UNIGRAM, 1, [0], [2], {}),
    "llama": ("tokenizer.model", BYTES, 0, [1], [], {}),
    "mistral": ("tokenizer.model", BYTES, 0, [1], [], LLAMA),
    "llama with an end": (
        "tokenizer.model",
        BYTES,
        0,
        [1],
        [2],
        LLAMA | {"add_bos_token": True, "add_eos_token": True},
    ),
    "gemma": ("tokenizer.model", BYTES | {"add_dummy_prefix": False}, 0, [1], [], {}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_sentencepiece_model_alone_gives_its_own_ids_and_the_template(tmp_path, kind):
    name, training, offset, begin, end, settings = MODELS[kind]
    reader = sentence_pieces(tmp_path, name, kind.split(" ")[0], **training)
    if settings:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    texts = [*TEXTS, "  two  spaces "]
    right = [
        [*begin, *(token + offset if token != reader.unk_id() or not offset else 3 for token in ids), *end]
        for ids in reader.encode(texts)
    ]
    assert opened(tmp_path).token_ids(texts)[0] == right


def test_a_sentencepiece_model_that_would_be_read_otherwise_is_refused(tmp_path):
    """A class that splits words itself makes nothing of such a model, and says nothing."""
    sentence_pieces(tmp_path, "spiece.model", "bert", **UNIGRAM)
    with pytest.raises(UserError, match=r"spiece\.model cannot be read as SentencePiece reads it; convert it"):
        opened(tmp_path)


def test_what_was_read_is_saved(tmp_path):
    read = opened(written(tmp_path / "there", llama_like(PREPENDED), "llama", **LLAMA, add_eos_token=True))
    (tmp_path / "here").mkdir()
    read.save(tmp_path / "here")
    (tmp_path / "here" / "config.json").write_text('{"model_type": "llama"}')
    again = opened(tmp_path / "here")
    assert again.token_ids(list(PROBES)) == read.token_ids(list(PROBES))
    assert again.notes == []
    settings = json.loads((tmp_path / "here" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"  # the name that versions 4 and 5 know
    assert again.fingerprint() == read.fingerprint()
    edit_json(tmp_path / "here" / "tokenizer_config.json", truncation_side="left")
    assert opened(tmp_path / "here").fingerprint() != read.fingerprint()
