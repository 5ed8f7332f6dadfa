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


def test_what_compares_is_refused_with_nothing_to_compare(refused):
    said = refused("evaluate", "run_files=[a]", "qrels=b", "test=student")
    assert "test would change nothing: a single run file is compared with nothing" in said
