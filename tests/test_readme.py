"""Every command that the README, the Makefile and the first lines of `conf/` give composes, and what it says next runs."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict

import evaluate
from pipeline.command_line import as_typed
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def given() -> Iterator[str]:
    """Give the commands of the README's console blocks, of the Makefile, and of configurations' first lines."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        yield from re.findall(r"^\$ (python .*)", block.replace("\\\n", " "), re.MULTILINE)
    yield from (line for line in re.findall(r"`(python \w+\.py [^`]*)`", README) if "…" not in line)
    for line in re.findall(
        r"^\t\$\(RUN\) ((?:train|evaluate|probe)\.py .*)", (ROOT / "Makefile").read_text(), re.MULTILINE
    ):
        yield f"python {line}"
    for path in ROOT.glob("conf/*.yaml"):
        said = re.findall(r"^#\s+(python .*)", path.read_text(), re.MULTILINE)
        yield from (line.removesuffix(" …").replace("…", "FOLDER") for line in said)


COMMANDS = list(dict.fromkeys(shlex.join(shlex.split(line, comments=True)) for line in given()))


def words_of(line: str) -> tuple[str, list[str], list[str]]:
    """Give the program, Hydra's own flags and the overrides of a command."""
    _, program, *words = shlex.split(line, comments=True)
    flags = [word for place, word in enumerate(words) if word[0] == "-" or words[place - 1] in ("-cd", "-cn")]
    return program.removesuffix(".py"), flags, [as_typed(word) for word in words if word not in flags]


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """The choices that the README writes down as examples of one's own."""
    folder = tmp_path_factory.mktemp("conf")
    for path, text in re.findall(r"```yaml\n# conf/(\S+)\n(.*?)```", README, re.DOTALL):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def test_there_are_commands_of_every_program():
    assert {words_of(line)[0] for line in COMMANDS} == {"train", "evaluate", "probe"}
    assert len(COMMANDS) > README.count("\n$ python ") > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_it_composes(line, parts):
    program, flags, overrides = words_of(line)
    folder = flags[flags.index("-cd") + 1] if "-cd" in flags else "conf"
    name = flags[flags.index("-cn") + 1] if "-cn" in flags else program
    ((*jobs,),) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(overrides), None)
    assert len(jobs) == 1 or "-m" in flags
    places = f"hydra.searchpath=[file://{ROOT / 'conf'},file://{parts}]"
    with initialize_config_dir(str(ROOT / folder), version_base="1.3"):
        for job in jobs:
            config = compose(name, overrides=[places, *job], return_hydra_config=True)
            with open_dict(config):
                del config["hydra"]
            OmegaConf.to_container(config, resolve=True)


def test_run_files_are_scored_as_the_readme_says(tmp_path, monkeypatch, capsys):
    (line,) = (line for line in COMMANDS if "run_files=" in line and "map,mrr" in line)
    (tmp_path / "qrels.txt").write_text("q0 0 d0 1\nq1 0 d1 1\n")
    for name, found in (("a", "d0 d1"), ("b", "d1 d0")):
        rows = (
            f"q{query} Q0 {document} {rank} {5 - rank} x\n"
            for query in (0, 1)
            for rank, document in enumerate(found.split(), 1)
        )
        (tmp_path / f"{name}.trec").write_text("".join(rows))
    monkeypatch.chdir(tmp_path)
    give(line, monkeypatch)
    (following,) = re.findall(r"^Next: (.*)", capsys.readouterr().out, re.MULTILINE)
    (metrics,) = (tmp_path / "outputs").glob("evaluate--*/metrics.json")
    # By hand: a finds q0's document first and q1's second, b the other way around.
    assert [of["map"] for of in json.loads(metrics.read_text())["systems"].values()] == [0.75, 0.75]
    give(following, monkeypatch)  # the command that comes next works as it is pasted
    assert [*(tmp_path / "outputs").glob("compare-*/report.html")]
    assert "(report.html, report.md, tables)" in capsys.readouterr().out


def give(line: str, monkeypatch) -> None:
    """Give a command in this process."""
    _, *words = shlex.split(line)
    monkeypatch.setattr(sys, "argv", words)
    evaluate.main()
