"""A fingerprint changes with everything that decides a vector, and with nothing else."""

import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import Cls, Last, Max, Mean
from pipeline.encoders.transformer_tower import TransformerTower
from tests.encoders.conftest import edit_json

MADE = {"projection": 8, "query_prompt": "query: ", "document_prompt": "passage: "}


def tower(folder, pooling=None, layers=None, **settings) -> TransformerTower:
    backbone = Local(str(folder), layers=layers)
    return build_tower(backbone, pooling or Mean(), EncoderSettings(**{**MADE, **settings}), "document", 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"projection": None},
        {"projection": 9},
        {"similarity": "dot"},
        {"max_length": 9},
        {"document_prompt": "passage:"},
        {"title_separator": " [SEP] "},
        {"layers": 3},
        {"pooling": Cls()},
        {"pooling": Max()},
        {"pooling": Last()},
    ],
    ids="-".join,
)
def test_it_changes_with_each_choice(bert_folder, settings):
    assert tower(bert_folder, **settings).fingerprint("document") != tower(bert_folder).fingerprint("document")


def test_it_changes_with_the_end_of_sequence_token(stories_folder):
    assert tower(stories_folder, append_eos=True).fingerprint("query") != tower(stories_folder).fingerprint("query")


def test_only_the_prompt_of_its_kind_counts(bert_folder):
    made, other = tower(bert_folder), tower(bert_folder, query_prompt="question: ")
    assert made.fingerprint("query") != made.fingerprint("document")
    assert made.fingerprint("document") == other.fingerprint("document")
    assert made.fingerprint("query") != other.fingerprint("query")
    same = tower(bert_folder, document_prompt="query: ")
    assert same.fingerprint("query") == same.fingerprint("document")


def test_it_changes_with_any_weight(bert_folder):
    made = tower(bert_folder)
    seen = {made.fingerprint("document")}
    for parameter in made.parameters():
        with torch.no_grad():
            parameter.view(-1)[-1] += 1e-3
        seen.add(made.fingerprint("document"))
    assert len(seen) == len(list(made.parameters())) + 1


def test_it_changes_with_the_config(bert_folder):
    before = tower(bert_folder).fingerprint("document")
    edit_json(bert_folder / "config.json", layer_norm_eps=1e-3)
    assert tower(bert_folder).fingerprint("document") != before


def test_it_changes_with_the_tokenizer(bert_folder):
    before = tower(bert_folder).fingerprint("document")
    path = bert_folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"lift": 5', '"left": 5').replace('"lift":5', '"left":5'))
    text = path.read_text()
    path.write_text(text.replace('"lift"', '"left"'))
    assert tower(bert_folder).fingerprint("document") != before


def test_it_changes_with_the_padding_side(bert_folder):
    made = tower(bert_folder)
    before = made.fingerprint("document")
    made.tokenizer.padding_side = "left"
    assert made.fingerprint("document") != before


def test_a_tower_that_is_loaded_anew_saved_or_in_training_has_the_same(bert_folder, any_folder, tmp_path):
    made = tower(any_folder)
    before = [made.fingerprint(kind) for kind in ("query", "document")]
    assert [tower(any_folder).fingerprint(kind) for kind in ("query", "document")] == before
    made.train()
    made.requires_grad_(False)
    made.token_ids(["the lift " * 99], "query")
    assert [made.fingerprint(kind) for kind in ("query", "document")] == before
    made.save(tmp_path / "saved", "card")
    assert [open_tower(tmp_path / "saved").fingerprint(kind) for kind in ("query", "document")] == before


def test_the_real_models_keep_theirs_over_saving(minilm_folder, stories_folder, tmp_path):
    for folder in (minilm_folder, stories_folder):
        made = tower(folder, projection=None)
        made.save(tmp_path / "saved", "")
        assert open_tower(tmp_path / "saved").fingerprint("query") == made.fingerprint("query")
