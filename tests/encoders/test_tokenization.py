"""Token ids: prompts, the end-of-sequence token, the maximum length, padding."""

import pytest
from transformers import AutoTokenizer

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import Mean
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.errors import UserError
from tests.encoders.conftest import TEXTS, edit_json


def tower(folder, **settings):
    return build_tower(Local(str(folder)), Mean(), EncoderSettings(**settings), "document", 0)


def test_ids_are_those_of_transformers(bert_folder):
    reference = AutoTokenizer.from_pretrained(bert_folder)
    assert (
        tower(bert_folder, max_length=12).token_ids(TEXTS, "document")
        == reference(TEXTS, truncation=True, max_length=12)["input_ids"]
    )


def test_padding_and_truncation_of_the_file_are_not_in_force(minilm_folder):
    """The real MiniLM's tokenizer.json pads to 128 and cuts at 128; its maximum length is 256."""
    ids = tower(minilm_folder).token_ids(["word", "word " * 200, "word " * 300], "document")
    assert [len(text) for text in ids] == [3, 202, 256]


def test_prompts_stand_before_texts_of_their_kind(bert_folder):
    made = tower(bert_folder, query_prompt="query: ", document_prompt="passage: ")
    plain = tower(bert_folder)
    assert made.token_ids(["lift"], "query") == plain.token_ids(["query: lift"], "query")
    assert made.token_ids(["lift"], "document") == plain.token_ids(["passage: lift"], "document")


def test_truncated_texts_are_counted(bert_folder):
    made = tower(bert_folder, max_length=7)
    assert all(len(ids) <= 7 for ids in made.token_ids(TEXTS, "document"))
    assert made.truncated == 2  # "the lift of a wing" fills the seven places exactly
    made.token_ids(TEXTS, "document")
    assert made.truncated == 4


def test_padding_on_either_side(bert_folder):
    tokenizer = tower(bert_folder).tokenizer
    assert tokenizer.pad([[5, 6], [7]])["input_ids"].tolist() == [[5, 6], [7, 0]]
    assert tokenizer.pad([[5, 6], [7]])["attention_mask"].tolist() == [[1, 1], [1, 0]]
    tokenizer.padding_side = "left"
    assert tokenizer.pad([[5, 6], [7]])["input_ids"].tolist() == [[5, 6], [0, 7]]
    assert tokenizer.pad([[5, 6], [7]])["attention_mask"].tolist() == [[1, 1], [0, 1]]


def test_eos_ends_every_text_also_cut_ones(stories_folder, tmp_path):
    plain = tower(stories_folder)
    made = tower(stories_folder, append_eos=True, max_length=6)
    short, long = made.token_ids(["Once", "Once upon a time there was a girl"], "document")
    assert short == [*plain.token_ids(["Once"], "document")[0], 2]
    assert len(long) == 6
    assert (long[0], long[-1], long.count(2)) == (1, 2, 1)
    made.save(tmp_path / "saved", "")
    reference = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert reference(["Once"])["input_ids"] == [short]
    assert reference(["Once upon a time there was a girl"], truncation=True)["input_ids"] == [long]


@pytest.mark.parametrize("kind", ["none", "byte level", "sequence", "sequence with template"])
def test_eos_goes_with_every_kind_of_post_processor(bert_folder, kind):
    from tokenizers import processors

    backend = tower(bert_folder).tokenizer.backend
    begin = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    backend.post_processor = {
        "none": None,
        "byte level": processors.ByteLevel(trim_offsets=False),
        "sequence": processors.Sequence([processors.ByteLevel(trim_offsets=False)]),
        "sequence with template": processors.Sequence([processors.ByteLevel(trim_offsets=False), begin]),
    }[kind]
    made = TextTokenizer(backend, {"eos_token": "[MASK]", "pad_token": "[PAD]"}, 5, "right").with_eos("x")
    start = [2] if kind == "sequence with template" else []
    assert made.token_ids(["lift of a", "lift of a wing in flow"])[0] == [
        [*start, 6, 7, 8, 4],
        [*start, *[6, 7, 8, 9][: 4 - len(start)], 4],
    ]
    assert made.with_eos("x") is made


def test_eos_is_refused_where_there_is_none(bert_folder):
    backend = tower(bert_folder).tokenizer.backend
    backend.post_processor = None  # type: ignore[assignment]
    with pytest.raises(UserError, match="no end-of-sequence token; set append_eos=false"):
        TextTokenizer(backend, {"pad_token": "[PAD]"}, 9, "right").with_eos("x")


@pytest.mark.parametrize("end", [None, "[MASK]"])
def test_eos_adds_nothing_where_a_special_token_ends_texts(bert_folder, end):
    edit_json(bert_folder / "tokenizer_config.json", eos_token=end)
    assert tower(bert_folder, append_eos=True).token_ids(["lift"], "query") == [[2, 6, 3]]


def test_texts_may_be_cut_at_their_beginning(bert_folder, tmp_path):
    edit_json(bert_folder / "tokenizer_config.json", truncation_side="left")
    made = tower(bert_folder, max_length=4)
    assert made.token_ids(["lift of a wing"], "query") == [[2, 8, 9, 3]]
    assert made.fingerprint("query") != tower(cut_on_the_right(bert_folder), max_length=4).fingerprint("query")
    made.save(tmp_path / "saved", "")
    assert open_tower(tmp_path / "saved").token_ids(["lift of a wing"], "query") == [[2, 8, 9, 3]]
    reference = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert reference(["lift of a wing"], truncation=True)["input_ids"] == [[2, 8, 9, 3]]


def cut_on_the_right(folder):
    edit_json(folder / "tokenizer_config.json", truncation_side="right")
    return folder


def test_a_text_without_tokens_has_a_token(bert_folder):
    made = tower(bert_folder)
    backend = made.tokenizer.backend
    backend.post_processor = None  # type: ignore[assignment]
    bare = TextTokenizer(backend, {"pad_token": "[PAD]"}, 9, "right")
    assert bare.token_ids(["", "lift"])[0] == [[], [6]]
    made.tokenizer = bare
    assert made.token_ids(["", "lift"], "query") == [[0], [6]]


def test_a_tokenizer_without_padding_gets_some(llama_folder, tmp_path):
    edit_json(llama_folder / "tokenizer_config.json", pad_token=None, eos_token="[SEP]")
    made = tower(llama_folder)
    made.save(tmp_path / "saved", "")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token == "[SEP]"


def test_old_folders_that_ask_for_lower_case_get_it(bert_folder, tmp_path):
    tower(bert_folder).save(tmp_path / "saved", "")
    path = tmp_path / "saved" / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    cased = Local(str(tmp_path / "saved")).load("document", 0).tokenizer
    assert cased.token_ids(["LIFT"])[0] == [[2, 1, 3]]
    edit_json(tmp_path / "saved" / "sentence_bert_config.json", do_lower_case=True)
    assert Local(str(tmp_path / "saved")).load("document", 0).tokenizer.token_ids(["LIFT"])[0] == [[2, 6, 3]]
