"""Folders of evaluations and probes: one result each, recognised, never mixed or overwritten, alone and in sweeps."""

import gzip
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import evaluate
import probe
from pipeline.errors import UserError
from pipeline.evaluation.result_folder import ResultFolder
from pipeline.probing.outcome import FINDINGS
from pipeline.training.run_folder import RunFolder
from tests.evaluation.conftest import save_tiny_model
from tests.probing.planted_layer import save_models, save_pairs, settings

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"evaluate": evaluate.main, "probe": probe.main}


@pytest.fixture
def give(monkeypatch, capsys):
    """Give a command in this process, and return what it printed."""

    def command(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        monkeypatch.chdir(ROOT)
        COMMANDS[name]()
        return capsys.readouterr().out

    return command


@pytest.fixture
def refused(give, capsys):
    """Give a command, and return the one sentence that it is refused with."""

    def command(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            give(*arguments)
        assert stopped.value.code == 2
        *before, said = capsys.readouterr().err.strip().splitlines()
        assert all("-m" in arguments and line.startswith("Error executing job") for line in before)  # says which
        return said

    return command


def write_run(path: Path, document: str = "d0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"q0 Q0 {document} 1 2.0 tag\nq0 Q0 d1 2 1.0 tag\n")
    return path


@pytest.fixture
def files(tmp_path) -> list[str]:
    """A command on one run file and its judgements."""
    (tmp_path / "qrels").write_text("q0 0 d0 1\n")
    return ["evaluate", f"run_files=[{write_run(tmp_path / 'r.trec')}]", f"qrels={tmp_path / 'qrels'}"]


@pytest.fixture
def probed(tmp_path) -> list[str]:
    """A command that compares two models."""
    small = ("probe.limit=20", "probe.sample=20")
    words = settings(tmp_path, *save_models(tmp_path), *small)
    return ["probe", "probe=geometry", *(word for word in words if not word.startswith("folder="))]


def content(folder: Path) -> dict[Path, bytes]:
    """Everything in a folder but its diary."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"}


# --- names


def test_run_files_in_published_shapes_are_systems_of_their_own(give, tmp_path):
    names = [
        "a b.trec",
        "a_b.trec",
        "one/r.trec",
        "two/r.trec",
        "one_r.trec",
        "input.first",
        "input.second",
        "packed.xz",
    ]
    lines = "".join(f"{query} Q0 d{i} {i + 1} {10 - i} tag\n" for query in ("q0", "q1") for i in range(5))
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(lines.encode()) if name == "packed.xz" else lines.encode())
    (tmp_path / "qrels.txt").write_text("q0 0 d0 1\nq0 0 d3 2\nq1 0 d4 1\nq2 0 d1 1\n")
    given = f"run_files=[{','.join(repr(str(tmp_path / name)) for name in names)}]"
    said = give("evaluate", given, f"qrels={tmp_path}/qrels.txt", "measures=[map]", f"folder={tmp_path}/out")
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    assert list(systems) == ["a_b_2", "a_b", "one_r_2", "two_r", "one_r", "first", "second", "packed"]
    # By hand: q0 finds d0 at 1 and d3 at 4, q1 finds d4 at 5, q2 finds nothing.
    assert [of["map"] for of in systems.values()] == [pytest.approx(((1 + 2 / 4) / 2 + 1 / 5 + 0) / 3)] * 8
    per_query = (tmp_path / "out" / "per_query.csv").read_text().splitlines()
    assert sum(line.startswith("q2,") and line.endswith(",0.000000") for line in per_query) == 8
    assert "first: queries without results, which count 0: 1." in said
    assert f"one_r_2 is {tmp_path}/one/r.trec." in said and "one_r is" not in said and "first is" not in said


@pytest.mark.parametrize("damage", ["- a", "a: [", ""])
def test_a_folder_with_damaged_settings_is_refused(damage, tmp_path):
    config = OmegaConf.create({"folder": str(tmp_path), "stage": {"name": "dpr"}})
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "config.yaml").write_text(damage)
    with pytest.raises(UserError, match=r"holds .*; give another folder=… or remove it"):
        ResultFolder(config, []).require_same_configuration()


def test_a_model_called_bm25_leaves_the_lexical_row_as_it_is(give, tmp_path):
    for name in ("bm25", "other"):
        save_tiny_model(tmp_path / name, seed=len(name))
    pairs = [f"dataset.path={save_pairs(tmp_path)}", "split=train", f"tables={tmp_path}/tables"]
    settings = ["dataset=jsonl", *pairs, "index=torch", "encoding.device=cpu", "measures=[mrr@10]"]
    found = {}
    for folder, models in (("one", "other"), ("both", f"bm25,{tmp_path}/other")):
        give("evaluate", f"models=[{tmp_path}/{models}]", *settings, f"folder={tmp_path}/{folder}")
        found[folder] = json.loads((tmp_path / folder / "metrics.json").read_text())["systems"]
    renamed = f"{tmp_path.name}_bm25"
    assert list(found["both"]) == ["bm25", renamed, f"{renamed}+bm25", "other", "other+bm25"]
    assert found["both"]["bm25"] == found["one"]["bm25"] != found["both"][renamed]
    assert found["both"]["other"] == found["one"]["dense"]


# --- folders


def test_an_evaluation_given_again_is_recognised_and_nothing_of_it_changes(give, capsys, files, tmp_path):
    first = give(*files, f"folder={tmp_path}/out")
    before = content(tmp_path / "out")
    assert give(*files, f"folder={tmp_path}/out") == first
    assert content(tmp_path / "out") == before
    assert "out is finished; this is its table." in (tmp_path / "out" / "log.txt").read_text()
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["run_files"] == [f"{tmp_path}/r.trec"]


@pytest.mark.parametrize("changed", ["r.trec", "qrels"])
def test_an_evaluation_of_files_that_have_changed_is_not_finished(give, refused, files, tmp_path, changed):
    give(*files, f"folder={tmp_path}/out")
    before = content(tmp_path / "out")
    what = {"r.trec": f"run file {tmp_path}/r.trec", "qrels": "judgements"}[changed]
    (tmp_path / changed).write_text((tmp_path / changed).read_text().replace("d0", "d1x"))
    assert refused(*files, f"folder={tmp_path}/out") == (
        f"error: {tmp_path}/out holds a run made from another {what} (same settings, but its contents have changed"
        " since); give another folder=… or remove it."
    )
    assert content(tmp_path / "out") == before


def test_an_evaluation_with_other_settings_is_refused(give, refused, files, tmp_path):
    give(*files, f"folder={tmp_path}/out")
    before = content(tmp_path / "out")
    assert refused(*files, f"folder={tmp_path}/out", "relevant_from=2") == (
        f"error: {tmp_path}/out holds a run of another configuration (relevant_from is 1 there and 2 here);"
        " give another folder=… or remove it."
    )
    assert content(tmp_path / "out") == before


def test_an_evaluation_of_other_weights_in_the_same_place_is_refused(give, refused, tmp_path):
    settings = ["dataset=jsonl", f"dataset.path={save_pairs(tmp_path)}", "split=train", f"tables={tmp_path}/tables"]
    settings += ["index=torch", "encoding.device=cpu", f"models=[{tmp_path}/mine]", f"folder={tmp_path}/out"]
    save_tiny_model(tmp_path / "mine", seed=0)
    give("evaluate", *settings)
    save_tiny_model(tmp_path / "mine", seed=1)
    assert "out holds a run made from another document tower of mine (" in refused("evaluate", *settings)


def test_jobs_of_a_sweep_of_evaluations_have_folders_of_their_own(give, refused, files, tmp_path):
    sweep = ["measures=[mrr],[map]", f"hydra.sweep.dir={tmp_path}/sweep", "-m"]
    give(*files, *sweep)
    folders = sorted(path.parent for path in (tmp_path / "sweep").glob("*/metrics.json"))
    found = [list(json.loads((folder / "metrics.json").read_text())["systems"]["r"]) for folder in folders]
    assert sorted(found) == [["map"], ["mrr"]]
    for folder, (measure,) in zip(folders, found, strict=True):
        assert folder.name.startswith(f"evaluate--measures-{measure}--qrels-qrels--run_files-r.trec--")
    before = content(tmp_path / "sweep")
    give(*files, *sweep)
    assert content(tmp_path / "sweep") == before
    write_run(tmp_path / "r.trec", "d2")
    assert "give another hydra.sweep.dir=… or remove it." in refused(*files, *sweep)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["relevant_from=1,2", "folder={}/out"], "/out is one folder, and every job of a sweep has its own;"),
        (["relevant_from=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir=x would change nothing"),
        (["relevant_from=1,2", "compare=[conf]"], "compare=[…] and sweep=FOLDER read many finished folders at once"),
    ],
)
def test_places_that_are_not_heeded_are_refused(refused, files, tmp_path, arguments, sentence):
    words = [word.format(tmp_path) for word in arguments]
    assert sentence in refused(*files, *words, f"hydra.sweep.dir={tmp_path}/sweep", "-m")
    assert not [*tmp_path.rglob("metrics.json"), *tmp_path.rglob("config.yaml")]


def test_a_probe_given_again_is_recognised_and_another_one_refused(give, refused, probed, tmp_path):
    folder = f"folder={tmp_path}/out"
    first = give(*probed, folder)
    before = content(tmp_path / "out")
    assert give(*probed, folder) == first
    assert "probe.sample is 20 there and 25 here" in refused(*probed, folder, "probe.sample=25")
    word = next(word for word in probed if word.startswith("models="))
    base, tuned = word.removeprefix("models={").removesuffix("}").split(", tuned: ")
    turned = [f"models={{tuned: {tuned}, {base}}}" if given == word else given for given in probed]
    assert "order of models is ['base', 'tuned'] there and ['tuned', 'base'] here" in refused(*turned, folder)
    save_models(tmp_path / "others")
    (tmp_path / "tuned" / "model.safetensors").write_bytes((tmp_path / "others/base/model.safetensors").read_bytes())
    assert "holds a run made from another document tower of tuned (" in refused(*probed, folder)
    assert content(tmp_path / "out") == before


def test_probes_of_a_sweep_are_told_apart(give, probed, tmp_path):
    paths = ",".join(f"{tmp_path}/{name}" for name in ("base", "tuned"))
    give(*probed, f"models.tuned.settings.backbone.path={paths}", f"hydra.sweep.dir={tmp_path}/sweep", "-m")
    folders = sorted(path.parent for path in (tmp_path / "sweep").glob(f"*/{FINDINGS}"))
    assert [folder.name.rpartition("--")[0] for folder in folders] == [
        f"probe-geometry--dataset.path-pairs.jsonl--dataset-jsonl--device-cpu--models.tuned.settings.backbone.path-{name}"
        "--probe.limit-20--sample-20--split-train"
        for name in ("base", "tuned")
    ]
    titles = [(folder / FINDINGS).read_text().splitlines()[0] for folder in folders]
    assert [re.sub(r" \([0-9a-f]{8}\)", "", title) for title in titles] == [
        f"# geometry: base = local mean path=base, tuned = local mean path={name} on pairs, train"
        f" (dataset.path=pairs.jsonl, device=cpu, models.tuned.settings.backbone.path={name}, probe.limit=20, sample=20)"
        for name in ("base", "tuned")
    ]
    for folder, title in zip(folders, titles, strict=True):
        for drawing in (folder / "plots").glob("*.svg"):
            assert title.removeprefix("# ")[:40] in drawing.read_text()


@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({"stage": {"name": "dpr"}}, "a training, and this is an evaluation"),
        ({"probe": {"limit": None}}, "a probe, and this is an evaluation"),
        (None, "results whose settings it does not say (it has no config.yaml)"),
    ],
)
@pytest.mark.parametrize("result", ["metrics.json", "findings.md", "runs"])
def test_what_another_command_left_is_not_written_over(tmp_path, settings, holds, result):
    if settings is not None:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**settings, "folder": str(tmp_path)}))
    (tmp_path / result).mkdir()
    config = OmegaConf.create({"folder": str(tmp_path), "run_files": ["a"]})
    with pytest.raises(UserError) as refused:
        ResultFolder(config, []).require_same_configuration()
    assert str(refused.value) == f"{tmp_path} holds {holds}; give another folder=… or remove it."


def test_a_training_takes_neither_an_evaluations_folder_nor_a_file(tmp_path):
    (tmp_path / "findings.md").touch()
    (tmp_path / "config.yaml").write_text("probe: {limit: 3}\n")
    config = OmegaConf.create({"folder": str(tmp_path), "stage": {"name": "dpr"}})
    with pytest.raises(UserError, match="holds a probe, and this is a training"), RunFolder(config, []).held():
        pass
    config.folder = str(tmp_path / "findings.md")
    with pytest.raises(UserError, match="is a file; give a folder"):
        RunFolder(config, [])
