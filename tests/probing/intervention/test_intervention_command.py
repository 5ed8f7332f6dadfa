"""`probe.py probe=intervention` and `probe=relearning` as they are used, on tiny models."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.evaluation.statistics import LEAST_CLUSTERS
from tests.encoders.conftest import bert_folder  # noqa: F401
from tests.evaluation.conftest import save_tiny_model
from tests.probing.commands import give, refusal

ROOT = Path(__file__).resolve().parents[3]
TOPICS = ["wing", "heat", "flow", "shell", "wave", "jet", "plate", "shock", "gas", "tube", "rotor", "blade"]


@pytest.fixture
def here(monkeypatch, capsys):
    """Give the command in this process; returns what it said."""

    def said(*arguments: str) -> str:
        give(monkeypatch, *arguments)
        return capsys.readouterr().out

    return said


@pytest.fixture
def refused(monkeypatch, capsys):
    """Give the command and return the one sentence that it is refused with."""
    return partial(refusal, monkeypatch, capsys)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A dataset of facts with several queries each, and two models of one architecture."""
    folder = tmp_path_factory.mktemp("place")
    rows = [
        {"query": f"{word} {topic} {topic[::-1]}", "document": f"{topic} {topic} number {number}"}
        for number, topic in enumerate(TOPICS)
        for word in ("what", "where", "why", "how")
    ]
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    torch.set_num_threads(1)
    save_tiny_model(folder / "base", seed=0)
    save_tiny_model(folder / "tuned", seed=1)
    return folder


def settings(place: Path, folder: Path, *more: str, models: str = "") -> list[str]:
    return [
        "dataset=jsonl",
        f"dataset.test_path={place / 'pairs.jsonl'}",
        f"models={models or f'{{base: {place}/base}}'}",
        f"folder={folder}",
        f"tables={place / 'tables'}",
        "encoding.device=cpu",
        *more,
    ]


def intervene(place: Path, folder: Path, *more: str, models: str = "") -> list[str]:
    chosen = ["probe.neurons=3"] if not any(word.startswith("probe.places=") for word in more) else []
    chosen += ["probe.facts=4"] if not any(word.startswith("probe.queries=") for word in more) else []
    small = [*chosen, "probe.control_queries=8", "probe.control_seeds=2"]
    return ["probe=intervention", *settings(place, folder, *small, *more, models=models)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_attributed_neurons_stand_beside_both_controls(here, place, tmp_path):
    models = f"{{base: {place}/base, tuned: {place}/tuned}}"
    said = here(*intervene(place, tmp_path / "out", models=models))
    assert "tuned: Suppressing" in said
    rows = rows_of(tmp_path / "out" / "changes.csv")
    assert {row["selection"] for row in rows} == {
        "attributed",
        "random",
        "equally active",
        "attributed − random",
        "attributed − equally active",
    }
    assert len(rows) == 2 * 3 * 5 * 3  # models, measures, selections, groups
    for row in rows:
        if int(row["clusters"]) < LEAST_CLUSTERS:
            assert row["low"] == row["high"] == "nan"
        else:
            assert float(row["low"]) <= float(row["change"]) <= float(row["high"])
        assert float(row["change"]) == pytest.approx(float(row["after"]) - float(row["before"]), abs=1e-9)
        assert float(row["p_value"]) <= float(row["p_corrected"])
    places = rows_of(tmp_path / "out" / "places.csv")
    assert {(row["model"], row["layer"]) for row in places} == {("base", "0"), ("tuned", "0")}
    assert (tmp_path / "out" / "plots" / "changes.png").exists()
    # Controls ask for no edited fact.
    per_query = rows_of(tmp_path / "out" / "per_query.csv")
    groups = ("affected", "held out", "control")
    queries = {group: {row["query"] for row in per_query if row["group"] == group} for group in groups}
    assert len(queries["control"]) == 8 and not queries["control"] & queries["affected"]
    # Of four queries for each of four facts, attribution saw two.
    assert len(queries["affected"]) == 16 and len(queries["held out"]) == 8
    assert queries["held out"] < queries["affected"]


@pytest.mark.parametrize(
    "more",
    [
        ("probe.unit=heads", "probe.places=[[0,1]]", "probe.action=amplify", "probe.side=both"),
        ("probe.unit=layers", "probe.places=[0]", "probe.side=document"),
        ("probe.unit=neurons", "probe.places=[[0,1],[0,7]]", "probe.action=erase"),
        ("probe.target=norm",),
        ("probe.side=both", "probe.action=amplify"),
    ],
    ids=["heads", "layers", "neurons", "norm", "both"],
)
def test_any_unit_on_any_side(here, place, tmp_path, more):
    said = here(*intervene(place, tmp_path / "out", *more))
    assert ("given" in said) == any(word.startswith("probe.places=") for word in more)
    assert ("how active a layer is cannot be said" in said) == ("probe.unit=layers" in more)


def test_every_layer_patched_with_itself_changes_nothing(here, place, tmp_path):
    models = f"{{base: {place}/base, same: {place}/base}}"
    here(*intervene(place, tmp_path / "out", "probe.action=patch", models=models))
    rows = rows_of(tmp_path / "out" / "changes.csv")
    assert {row["model"] for row in rows} == {"same"}
    assert all(abs(float(row["change"])) < 1e-9 for row in rows)
    models = f"{{base: {place}/base, tuned: {place}/tuned}}"
    more = ["probe.action=patch", "probe.unit=layers", "probe.places=[0]", "probe.side=both"]
    here(*intervene(place, tmp_path / "layers", *more, models=models))
    patched = [row for row in rows_of(tmp_path / "layers" / "per_query.csv") if row["selection"] == "given"]
    base = here_unedited(here, place, tmp_path)
    assert all(float(row["ndcg@10 after"]) == pytest.approx(base[row["query"]]) for row in patched)


def here_unedited(here, place, tmp_path) -> dict[str, float]:
    """What the base retrieves as it is, for the queries of any group."""
    here(*intervene(place, tmp_path / "base", "probe.control_queries=100"))
    return {row["query"]: float(row["ndcg@10 before"]) for row in rows_of(tmp_path / "base" / "per_query.csv")}


def test_what_was_done_is_kept(here, place, tmp_path):
    more = ["probe.control_seeds=3", "probe.factor=3.0", "probe.action=amplify"]
    here(*intervene(place, tmp_path / "first", *more))
    pieces = {path: path.stat().st_mtime_ns for path in (place / "tables" / "probing").rglob("*.kept")}
    here(*intervene(place, tmp_path / "second", *more))
    assert {path: path.stat().st_mtime_ns for path in (place / "tables" / "probing").rglob("*.kept")} == pieces
    assert (tmp_path / "first" / "changes.csv").read_text() == (tmp_path / "second" / "changes.csv").read_text()


def test_twins_are_written_and_looked_into_again(here, refused, place, tmp_path):
    twins = tmp_path / "twins"
    said = here(*intervene(place, tmp_path / "out", "probe.action=erase", f"probe.write={twins}"))
    assert "Written to" in said
    groups = json.loads((twins / "groups.json").read_text())
    assert len(groups["facts"]) == 4 and len(groups["control"]) == 8
    base = DualEncoder.load(place / "base").state_dict()
    zero = {}
    for name in ("erased", "random", "unedited"):
        state = DualEncoder.load(twins / name).state_dict()
        changed = [key for key in base if not torch.equal(base[key], state[key])]
        assert all(key.endswith("layer.0.output.dense.weight") for key in changed)
        outer = next(value for key, value in state.items() if key.endswith("layer.0.output.dense.weight"))
        zero[name] = {int(column) for column in (outer == 0).all(dim=0).nonzero()}
    named = {name: {neuron for _, neuron in groups[name]["query"]} for name in ("erased", "random")}
    assert zero == {**named, "unedited": set()}
    assert len(zero["erased"]) == len(zero["random"]) and not zero["erased"] & zero["random"]
    assert {neuron for fact in groups["facts"] for _, neuron in fact["neurons"]["query"]} == zero["erased"]
    assert "exists; give another folder" in refused(
        *intervene(place, tmp_path / "out", "probe.action=erase", f"probe.write={twins}")
    )

    models = f"{{unedited: {place}/base, erased: {place}/tuned, random: {twins}/random}}"
    groups_setting = f"probe.groups={twins / 'groups.json'}"
    said = here("probe=relearning", *settings(place, tmp_path / "again", groups_setting, models=models))
    assert "before fine-tuning: erased has ndcg@10" in said and "no training split" in said
    assert "erased was not shown to have lost the facts" in said
    rows = rows_of(tmp_path / "again" / "changes.csv")
    assert {(row["time"], row["model"]) for row in rows} == {
        (time, model)
        for time in ("before fine-tuning", "fine-tuned")
        for model in ("erased", "random", "erased − random")
    }
    # The random twin was given untrained: before and after are the same figures.
    random = {time: [row["score"] for row in rows if (row["time"], row["model"]) == (time, "random")] for time in
              ("before fine-tuning", "fine-tuned")}  # fmt: skip
    assert random["before fine-tuning"] == random["fine-tuned"]
    assert (tmp_path / "again" / "plots" / "relearning.png").exists()

    groups["control"] = ["nobody"]
    (twins / "other.json").write_text(json.dumps(groups))
    other = f"probe.groups={twins / 'other.json'}"
    assert "names the query nobody, which the test split does not have" in refused(
        "probe=relearning", *settings(place, tmp_path / "again", other, models=models)
    )
    (twins / "other.json").write_text("{}")
    assert "does not say which facts were erased" in refused(
        "probe=relearning", *settings(place, tmp_path / "again", other, models=models)
    )
    assert "give two or more models" in refused(
        "probe=relearning", *settings(place, tmp_path / "again", groups_setting)
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ["probe.places=[[0,32]]"],
            "probe.places: [0, 32] is out of range; the model has layers 0-0, each with neurons",
        ),
        (["probe.places=[0]"], "a pair of layer and number"),
        (["probe.unit=heads", "probe.places=[[0,2]]"], "each with heads 0-1"),
        (["probe.unit=layers", "probe.places=[1]"], "1 is out of range; the model has layers 0-0"),
        (["probe.unit=heads"], "say which heads are meant by probe.places"),
        (["probe.places=[]"], "probe.places is empty"),
        (["probe.action=patch"], "takes activations from the first model; give two or more"),
        (["probe.action=cut"], "probe.action=cut is unknown"),
        (["probe.facts=50"], "has 12 documents that its queries ask for, fewer than 50 facts"),
        (["probe.facts=12"], "no query is left as a control"),
        (["probe.queries=[nobody]"], "probe.queries names the query nobody"),
        (["probe.write=somewhere"], "use it with probe.action=erase"),
        (["probe.measures=[ndgc@10]"], "ndgc@10 is not a measure"),
    ],
)
def test_bad_input_is_one_sentence(refused, place, tmp_path, more, sentence):
    assert sentence in refused(*intervene(place, tmp_path / "out", *more))


def test_unlike_models_are_not_patched(refused, place, bert_folder, tmp_path):  # noqa: F811
    models = f"{{base: {{model: local, settings: {{backbone: {{path: {bert_folder}}}}}}}, tuned: {place}/tuned}}"
    said = refused(*intervene(place, tmp_path / "out", "probe.action=patch", models=models))
    assert "base and tuned differ in depth: 4 and 1" in said


def test_the_sweep_trains_every_twin_by_one_recipe():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "multirun_sweeps")):
        search = f"hydra.searchpath=[file://{ROOT / 'conf'}]"
        cells = [compose("erase_then_finetune", [search, f"twin={twin}"]) for twin in ("unedited", "erased")]
    assert [cell.backbone.path for cell in cells] == ["outputs/twins/unedited", "outputs/twins/erased"]
    assert [cell.folder for cell in cells] == ["outputs/relearned/unedited", "outputs/relearned/erased"]
    assert cells[0].stage == cells[1].stage and cells[0].trainer == cells[1].trainer
    assert cells[0].pooling._target_.endswith("AsSaved")
