"""The experiment on withheld facts as it is used: cells of the sweep, then the report."""

import csv
import json
import sys
from pathlib import Path

import pytest
from transformers import BertConfig, BertForMaskedLM

import evaluate as evaluate_command
import train as train_command
from tests.encoders.conftest import BERT, WORDS, make, one_thread  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
ARTICLES, PARTS, QUESTIONS = 24, 2, 4


def paragraphs(article: int) -> list[dict]:
    def words(*numbers: int) -> str:
        return " ".join(WORDS[number % len(WORDS)] for number in numbers)

    return [
        {
            "context": f"{words(article, part, article * 3, article * 5 + part, article + 2)} {article} {part}",
            "qas": [
                {"id": f"{article}-{part}-{number}", "question": f"{words(article, number, article * 3)} {number}?"}
                for number in range(QUESTIONS)
            ],
        }
        for part in range(PARTS)
    ]


@pytest.fixture
def settings(tmp_path) -> list[str]:
    """The quick sweep over a tiny BERT and texts of its own."""
    data = [{"title": f"heat_{article}", "paragraphs": paragraphs(article)} for article in range(ARTICLES)]
    (tmp_path / "facts.json").write_text(json.dumps({"data": data}), encoding="utf-8")
    model = make(tmp_path / "bert", BertForMaskedLM, BertConfig(**BERT))
    return [
        *("-cd", "multirun_sweeps", "-cn", "withheld_facts_quick"),
        *("backbone=local", f"backbone.path={model}", f"dataset.path={tmp_path / 'facts.json'}"),
        *("trainer=float32", "trainer.accelerator=cpu", "trainer.max_steps=4", "reading_steps=4", "stage.batch_size=8"),
        *("encoder.max_length=32", "stage.warmup_steps=1", "logger=none", f"tables={tmp_path / 'tables'}"),
    ]


@pytest.mark.usefixtures("one_thread")
def test_the_sweeps_cells_and_their_report(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for init in ("pretrained", "read"):
        folder = tmp_path / "sweep" / init
        monkeypatch.setattr(sys, "argv", ["train.py", *settings, f"init={init}", "seed=1", f"folder={folder}"])
        train_command.main()
        with open(folder / "quarters.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert len(rows) == metrics["queries"] and {row["quarter"] for row in rows} == {
            "read",
            "trained",
            "both",
            "neither",
        }
        assert metrics["training"]["dataset_notes"]["rotation"] == 1
        assert ("pretraining" in metrics["training"]) == (init == "read")
    assert (
        metrics["training"]["pretraining"]["trained_texts"]
        == metrics["training"]["dataset_notes"]["documents"]["pretraining"]
    )
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"compare=[{tmp_path / 'sweep'}]"])
    evaluate_command.main()
    said = capsys.readouterr().out
    assert "facts: fine-tuning on questions about one article" in said
    assert "one seed, another may differ" in said
    assert (tmp_path / "sweep" / "tables" / "withheld-0-effects.csv").exists()
    assert "Withheld facts" in (tmp_path / "sweep" / "report.html").read_text(encoding="utf-8")
