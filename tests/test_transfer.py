"""`train.py` scoring on further datasets, and what a second cell of the same tower costs."""

# ruff: noqa: F401, F811 (fixtures come from another file)

import json
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import train as train_command
from pipeline.data import open_dataset
from tests.test_train import ROOT, TOPICS, pairs, refusal, settings_of, tiny_bert

FILES = ("metrics.json", "per_query.csv", "results.csv", "inputs.json")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    """Other questions with other answers."""
    path = tmp_path_factory.mktemp("others") / "others.jsonl"
    rows = [
        {"query": f"where {topic} {number}", "document": f"number {number} {topic}"}
        for topic in TOPICS[:6]
        for number in range(15)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def transfer_to(name: str, path: Path) -> list[str]:
    return [f"+dataset@evaluation.transfer.{name}=jsonl", f"evaluation.transfer.{name}.path={path}"]


def run(*arguments: str) -> None:
    """Give the command in this process, which has torch already."""
    before, sys.argv = sys.argv, ["train.py", *arguments]
    try:
        train_command.main()
    finally:
        sys.argv = before


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def finished(tiny_bert, pairs, others, tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("transfer") / "run"
    arguments = settings_of(tiny_bert, pairs, folder, *transfer_to("others", others), "trainer.max_steps=10")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run(*arguments)
    return folder, arguments


def read(folder: Path, name: str = "metrics.json") -> dict:
    return json.loads((folder / name).read_text())


def test_a_further_dataset_is_scored_before_training_and_after(finished, capsys):
    folder, arguments = finished
    found = read(folder / "transfer" / "others")
    assert list(found["systems"]) == ["bm25", "zero_shot", "dense", "hybrid"]
    assert found["details"]["hybrid"]["tuned_on"] == "validation"
    assert found["dataset"] == "others"
    assert found["training"] == {"trained_on": "pairs", "stage": "dpr", "steps": 10}
    assert found["systems"]["dense"] != found["systems"]["zero_shot"]
    assert found["significance"]["comparisons"]
    rows = (folder / "transfer" / "others" / "per_query.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * found["queries"]
    # The run's own results and its index are those of its own dataset.
    assert list(read(folder)["systems"]) == ["bm25", "zero_shot", "dense", "hybrid"]
    assert len((folder / "index" / "ids.txt").read_text().splitlines()) == read(folder)["documents"]
    run(*arguments)
    said = capsys.readouterr()
    assert "is finished" in said.err
    for place in (folder, folder / "transfer" / "others"):
        assert f"{read(place)['dataset']} ({read(place)['fingerprint'][:8]}), test" in said.out


def test_a_finished_transfer_is_not_redone_and_one_of_other_inputs_is(finished, others, tiny_bert, pairs):
    folder, arguments = finished
    place = folder / "transfer" / "others"
    whole = {name: (place / name).read_bytes() for name in FILES}
    metrics, before = (folder / "metrics.json").read_bytes(), (place / "metrics.json").stat().st_mtime_ns
    (folder / "metrics.json").unlink()  # as if killed after the transfer
    run(*arguments)
    assert (folder / "metrics.json").read_bytes() == metrics
    assert (place / "metrics.json").stat().st_mtime_ns == before

    (folder / "metrics.json").unlink()
    (place / "inputs.json").write_text(json.dumps(read(place, "inputs.json") | {"dataset": "of before"}))
    run(*arguments)
    assert {name: (place / name).read_bytes() for name in FILES} == whole
    assert (place / "metrics.json").stat().st_mtime_ns != before


def test_a_second_cell_of_the_same_tower_reads_none_of_its_texts_again(finished, tiny_bert, pairs, others, tmp_path):
    folder, _ = finished
    more = [*transfer_to("others", others), "stage=zero_shot", f"tables={folder.parent / 'tables'}"]
    shared = [word for word in settings_of(tiny_bert, pairs, tmp_path / "run") if not word.startswith("stage.")]
    run(*[word for word in shared if not word.startswith("tables=")], *more)
    cost = read(tmp_path / "run", "cost.json")
    # Tuning the hybrids of the untrained dual encoder is new: the validation splits were read by the trained one alone.
    source = instantiate(OmegaConf.load(ROOT / "conf" / "dataset" / "jsonl.yaml"), path=str(others))
    elsewhere = open_dataset(source, tmp_path / "tables").notes["queries"]["validation"]
    validation = read(tmp_path / "run")["training"]["dataset_notes"]["queries"]["validation"]
    assert cost["encoded_texts"] == validation + elsewhere
    assert cost["looked_up_texts"] > 0 and cost["training_steps"] == 0

    again = tmp_path / "again"
    words = [f"folder={again}" if word.startswith("folder=") else word for word in shared]
    run(*[word for word in words if not word.startswith("tables=")], *more)
    assert {name: read(again, "cost.json")[name] for name in ("encoded_texts", "encoded_tokens")} == {
        "encoded_texts": 0,
        "encoded_tokens": 0,
    }
    assert (again / "metrics.json").read_bytes() == (tmp_path / "run" / "metrics.json").read_bytes()


def test_the_cost_of_a_run(finished, capsys):
    folder, _ = finished
    cost = read(folder, "cost.json")
    assert list(cost) == ["seconds", "encoded_texts", "encoded_tokens", "looked_up_texts", "training_steps"]
    assert cost["seconds"] > 0 and cost["encoded_tokens"] > cost["encoded_texts"] > 0
    assert cost["training_steps"] % 10 == 0  # as many attempts as tests made, of ten steps each
    assert "training steps." in (folder / "log.txt").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evaluation.transfer=3"], "evaluation.transfer=3 must name datasets"),
        (["+evaluation.transfer.x=3"], "evaluation.transfer.x=3 is no dataset's configuration"),
        (["+dataset@evaluation.transfer.x=jsonl"], "evaluation.transfer.x"),
        (["+dataset@evaluation.transfer.x=jsonl", "evaluation.transfer.x.path=nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused_before_work(
    words,
    sentence,
    tiny_bert,
    pairs,
    tmp_path,
    monkeypatch,
    capsys,
):
    assert sentence in refusal(monkeypatch, capsys, *settings_of(tiny_bert, pairs, tmp_path / "run", *words))
    assert not (tmp_path / "tables" / "vectors").exists()


def test_a_transfer_dataset_without_the_scored_split_is_refused(
    tiny_bert, pairs, others, tmp_path, monkeypatch, capsys
):
    words = [*transfer_to("others", others), "evaluation.transfer.others.split={train: 1, validation: 0, test: 0}"]
    said = refusal(monkeypatch, capsys, *settings_of(tiny_bert, pairs, tmp_path / "run", *words))
    assert "evaluation.transfer.others: The dataset others has no split 'test'" in said
