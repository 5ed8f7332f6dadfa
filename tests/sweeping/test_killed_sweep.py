"""A sweep that is killed at random moments, its cells' processes and its launcher, and continued by the same command."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.test_train import ROOT, pairs, settings_of, tiny_bert  # noqa: F401

KILLS = 20

pytestmark = pytest.mark.slow


def command(tiny_bert: Path, pairs: Path, folder: Path) -> list[str]:  # noqa: F811
    settings = [word for word in settings_of(tiny_bert, pairs, folder / "x") if not word.startswith("folder=")]
    axes = ["seed=0,1,2", "stage.learning_rate=1e-3,3e-3"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    return [sys.executable, "train.py", "-m", f"hydra.sweep.dir={folder}", *settings, *axes, *launcher]


def results(folder: Path) -> dict[str, str]:
    """Fingerprint what the cells of a sweep have made."""
    names = ("metrics.json", "per_query.csv", "model/model.safetensors")
    return {
        f"{place.parent.name}/{name}": hashlib.sha256((place.parent / name).read_bytes()).hexdigest()
        for place in sorted(folder.glob("*/metrics.json"))
        for name in names
    }


def processes_below(pid: int) -> list[int]:
    """Find the descendants of a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def test_nothing_is_lost_or_different_after_many_kills(tiny_bert, pairs, tmp_path):  # noqa: F811
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    undisturbed = command(tiny_bert, pairs, tmp_path / "undisturbed")
    subprocess.run(undisturbed, cwd=ROOT, check=True, capture_output=True, timeout=900)
    expected = results(tmp_path / "undisturbed")
    assert len(expected) == 18

    folder, generator = tmp_path / "killed" / "sweep", random.Random(0)
    again = command(tiny_bert, pairs, folder)
    seen: dict[str, str] = {}
    kills = cells_killed = 0
    while kills < KILLS:
        process = subprocess.Popen(again, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(generator.randrange(1, 4)):
            time.sleep(generator.uniform(2, 25))
            cells = processes_below(process.pid)
            victim = generator.choice([process.pid, *cells])
            if process.poll() is not None:
                break
            cells_killed += victim != process.pid
            kills += 1
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                kills -= 1
            if victim == process.pid:
                break
        else:
            process.kill()
            kills += 1
        process.wait()
        now = results(folder)
        assert seen.items() <= now.items(), "a finished cell was lost or changed"
        seen = now
        if len(seen) == len(expected):
            # All done: begin anew in another folder, so that every kill meets work.
            assert seen == expected
            folder, seen = folder.with_name(f"sweep{kills}"), {}
            again = command(tiny_bert, pairs, folder)
    for _ in range(3):  # a cell that died twice is left to the next command
        done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, timeout=900)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert results(folder) == expected
    print(f"{kills} kills, {cells_killed} of them of cells")
