"""What a run cost: counted where it happens, and added up over its attempts."""

import json

import numpy as np

from pipeline.data.texts import Texts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.tally import Tally
from pipeline.retrieval.tabulate import tabulate
from pipeline.training.cost import COST, Cost
from tests.evaluation.conftest import save_tiny_model

TEXTS = ["a cat", "two dogs and a cat", "x" * 300]


def test_every_text_and_its_tokens_are_counted_and_look_ups_apart(tmp_path):
    tower = DualEncoder.load(save_tiny_model(tmp_path / "tiny")).document
    settings = EncodingSettings(device="cpu", token_budget=40)
    tokens = sum(len(ids) for ids in tower.token_ids(TEXTS, "document"))
    Encoder(tower, settings).encode(TEXTS, "document")
    assert (settings.tally.encoded_texts, settings.tally.encoded_tokens) == (3, tokens)
    texts = Texts.from_pairs((str(place), text) for place, text in enumerate(TEXTS))
    first = tabulate(tower, texts, "document", settings, tmp_path, "documents")
    assert (settings.tally.encoded_texts, settings.tally.looked_up_texts) == (6, 0)
    again = tabulate(tower, texts, "document", settings, tmp_path, "documents")
    assert (settings.tally.encoded_texts, settings.tally.looked_up_texts) == (6, 3)
    assert (np.array(first.vectors) == np.array(again.vectors)).all()


def test_counting_decides_nothing():
    counted = EncodingSettings(device="cpu")
    counted.tally.encoded(5, 50)
    assert counted == EncodingSettings(device="cpu")
    assert hash(counted) == hash(EncodingSettings(device="cpu"))
    assert "tally" not in repr(counted)


def test_attempts_add_up(tmp_path):
    for attempt in (1, 2, 3):
        tally = Tally()
        cost = Cost(tmp_path, tally)
        tally.encoded(10, 100)
        tally.looked_up(7)
        cost.step()
        cost.step()
        found = cost.note()
        assert found == json.loads((tmp_path / COST).read_text())
        assert {name: value for name, value in found.items() if name != "seconds"} == {
            "encoded_texts": 10 * attempt,
            "encoded_tokens": 100 * attempt,
            "looked_up_texts": 7 * attempt,
            "training_steps": 2 * attempt,
        }
    assert cost.sentence().endswith("30 texts encoded (300 tokens), 21 looked up, 6 training steps.")


def test_a_killed_attempt_has_noted_what_it_did(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.cost.SECONDS_BETWEEN_NOTES", -1.0)
    tally = Tally()
    cost = Cost(tmp_path, tally)
    tally.encoded(10, 100)
    assert not (tmp_path / COST).exists()  # not begun: the run may be finished
    cost.begin()
    tally.encoded(10, 100)
    cost.step()
    assert Cost(tmp_path, Tally()).before["encoded_texts"] == 20
    assert Cost(tmp_path, Tally()).before["training_steps"] == 1


def test_a_damaged_note_is_no_reason_to_stop(tmp_path):
    for content in ("{", "[1]", ""):
        (tmp_path / COST).write_text(content)
        assert Cost(tmp_path, Tally()).figures()["training_steps"] == 0
