"""Settings that would change nothing are refused by every command: Hydra's, and those that a probe makes no use of."""

import sys

import pytest

import evaluate
import probe
import train

COMMANDS = {"train": train, "evaluate": evaluate, "probe": probe}


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Give a command in an empty folder, and return the one sentence that it is refused with."""

    def give(command: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"{command}.py", *words])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            COMMANDS[command].main()
        assert stopped.value.code == 2
        return capsys.readouterr().err.strip()

    return give


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("word", ["hydra.run.dir=elsewhere", "hydra.output_subdir=.hydra", "hydra.job.chdir=true"])
def test_a_place_that_is_hydras_alone_is_refused(refused, command, word):
    key, value = word.split("=")
    shown = {"true": "True"}.get(value, value)
    assert refused(command, word).startswith(f"error: {key}={shown} would change nothing: ")


@pytest.mark.parametrize("word", ["hydra.run.dir=elsewhere", "hydra.sweep.subdir=elsewhere"])
def test_a_sweep_is_refused_before_any_cell(refused, tmp_path, word):
    said = refused("train", "-m", "seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}", word)
    assert said.splitlines() == [said] and f"{word} would change nothing" in said
    assert not (tmp_path / "sweep").exists()


def test_a_launcher_without_a_sweep_is_refused(refused):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert "launcher=joblib is for sweeps" in refused("train", "launcher=joblib")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["probe=geometry", "negatives=given"], "negatives would change nothing: probe=geometry makes no use of it"),
        (["probe=geometry", "++lexical.b=0"], "lexical.b would change nothing: probe=geometry"),
        (["probe=swap", "protocol=published"], "protocol would change nothing: probe=swap"),
        (["probe=linear", "negatives.count=4"], "negatives.count would change nothing: probe=linear"),
        (["probe=linear", "negatives=given", "lexical.b=0"], "lexical.b would change nothing: probe=linear"),
        (["probe=attribution", "negatives.depth=4"], "negatives.depth would change nothing: probe=attribution"),
        (["probe=intervention", "probe.factor=3"], "probe.factor would change nothing: probe=intervention"),
        (["probe=relearning", "probe.groups=a", "seed=1"], "seed would change nothing: probe=relearning"),
        (["protocol=published", "published.probe.epochs=5"], "is what the first paper did; to depart from it"),
        (["logger=csv"], "logger=csv is of training's curves"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_a_probe_makes_no_use_of_is_refused(refused, words, said):
    assert said in refused("probe", *words)


def test_help_lists_the_groups_that_the_command_takes(monkeypatch, capsys):
    taken = {}
    for name, command in COMMANDS.items():
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
        with pytest.raises(SystemExit):
            command.main()
        said = capsys.readouterr().out.partition("== Groups ==")[2].partition("== Settings ==")[0]
        taken[name] = {line.partition(":")[0] for line in said.split("\n") if line}
    assert taken["evaluate"] == {"dataset", "index", "lexical"}
    assert taken["probe"] == {"dataset", "lexical", "logger", "negatives", "pair", "probe", "protocol"}
    assert {"backbone", "stage", "query", "init", "launcher"} <= taken["train"] and not {"probe", "pair"} & taken[
        "train"
    ]


@pytest.mark.parametrize(
    ("command", "word", "said"),
    [
        ("train", "probe=linear", "probe is a group of probe.py; train.py has backbone, dataset, "),
        ("evaluate", "stage.learning_rate=1", "stage is a group of train.py; evaluate.py has dataset, index, lexical."),
        ("train", "models=[a]", "models is a setting of evaluate.py and probe.py, not of train.py."),
        (
            "train",
            "trainer.max_epochs=3",
            "trainer.max_epochs is not for a configuration: a training is counted in steps",
        ),
        ("train", "trainer.num_nodes=2", "give it as +trainer.num_nodes=…."),
        ("train", "+trainer.nosuch=2", "trainer.nosuch is no argument of Lightning's Trainer; known are accelerator"),
        ("train", "folder=outputs/é", "write 'folder=\"outputs/é\"'."),
        ("train", "trainer.devices=9999", "asks for 9999 processes and this machine has "),
    ],
)
def test_what_is_not_of_this_command_is_told_where_it_is(refused, command, word, said):
    assert said in refused(command, word, *(["stage=zero_shot"] if command == "train" else []))


def test_a_far_off_key_gets_the_nearest_few(refused):
    said = refused("train", "xyz.abc=3")
    assert "is not a setting; the nearest of " in said and len(said.split(", ")) == 5


def test_a_refused_command_leaves_nothing_behind(refused, tmp_path):
    refused("train", "stage=zero_shot", "evaluation.hybrid_weights=0.3", "dataset=jsonl")
    refused("evaluate", "-m", "relevant_from=0,-1", "run_files=[a]", "qrels=b")
    refused("probe", "-m", "probe.limit=0,-1")
    assert [path for path in tmp_path.glob("outputs/*") if path.name != "tables"] == []


def test_an_ad_hoc_sweep_has_a_folder_of_its_own():
    from pipeline.entry import _own_sweep

    def folder(*words: str, command: str = "train") -> str:
        (word,) = _own_sweep(words, command)
        return word.removeprefix("hydra.sweep.dir=")

    first = folder("-m", "seed=0,1", "pooling=mean")
    assert first.startswith("outputs/multirun--seed--")
    assert first == folder("pooling=mean", "seed=0,1,2", "--multirun", "threads=2", "launcher=joblib")
    assert len({first, folder("-m", "seed=0,1", "pooling=cls"), folder("-m", "pooling=cls,mean")}) == 3
    assert folder("-m", "probe.limit=1,2", command="probe").startswith("outputs/probes--probe.limit--")
    for words in (
        ["seed=0"],
        ["-m", "seed=0,1", "hydra.sweep.dir=x"],
        ["-m", "-cd", "multirun_sweeps", "-cn", "pooling"],
    ):
        assert _own_sweep(words, "train") == []


def test_what_compares_is_refused_with_nothing_to_compare(refused):
    said = refused("evaluate", "run_files=[a]", "qrels=b", "test=student")
    assert "test would change nothing: a single run file is compared with nothing" in said
