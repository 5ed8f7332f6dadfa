"""Giving `probe.py` in this process, which has imported everything already."""

import csv
from pathlib import Path

import pytest

import probe

ROOT = Path(__file__).resolve().parents[2]


def give(monkeypatch, *arguments: str) -> None:
    """Give the command."""
    monkeypatch.setattr("sys.argv", ["probe.py", *arguments])
    monkeypatch.chdir(ROOT)
    probe.main()


def refusal(monkeypatch, capsys, *arguments: str) -> str:
    """Give a command that is refused, and return its one sentence."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        give(monkeypatch, *arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1, said
    return said


def table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
