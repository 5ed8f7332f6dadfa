"""Locks on files that several processes, perhaps on several machines, share."""

import signal
import subprocess
import sys
import time

from pipeline.files import is_locked, locked

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.files import locked
with locked(Path(sys.argv[1]), "the table"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder_of(path) -> subprocess.Popen:
    """Start a process that holds a lock, and wait until it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path):
    process = holder_of(tmp_path / "table")
    assert is_locked(tmp_path / "table")
    process.send_signal(signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    assert not is_locked(tmp_path / "table")
    with locked(tmp_path / "table", "the table"):
        assert time.monotonic() - began < 0.5


def test_who_waits_for_a_lock_says_so_and_gets_it_when_its_holder_dies(tmp_path):
    first = holder_of(tmp_path / "table")
    second = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "table")], stdout=subprocess.PIPE, text=True
    )
    assert second.stdout.readline() == "Waiting for the table, which another process is making.\n"
    first.kill()
    first.wait()
    assert second.stdout.readline() == "held\n"
    second.kill()
    second.wait()
