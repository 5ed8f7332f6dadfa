"""Settings of Hydra's that would change nothing are refused by every command, alone and in a sweep."""

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
