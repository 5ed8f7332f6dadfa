"""Progress where there is no terminal: lines with a time that is left, which what came before does not distort."""

import re

from pipeline import progress as module


def test_the_time_left_counts_from_the_first_units(monkeypatch, capsys):
    clock = iter([0.0, 100.0, 120.0, 140.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with module.progress("Training", 10, "steps") as advance:
        for _ in range(3):
            advance(1)
    said = capsys.readouterr().err.splitlines()
    assert [int(re.search(r"about (\d+) s", line)[1]) for line in said] == [160, 140]
