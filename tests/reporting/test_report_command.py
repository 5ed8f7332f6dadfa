"""`evaluate.py compare=[…]` as it is used, and what it refuses."""

import sys
from pathlib import Path

import pytest

import evaluate as evaluate_command
from tests.reporting.planted import plant_grid, plant_probe

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def give(monkeypatch, capsys):
    """Give the command in this process and return what it said."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        monkeypatch.chdir(ROOT)
        evaluate_command.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(monkeypatch, capsys):
    """Give the command and return the one sentence that it is refused with."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        monkeypatch.chdir(ROOT)
        with pytest.raises(SystemExit) as stopped:
            evaluate_command.main()
        assert stopped.value.code == 2
        said = capsys.readouterr().err.strip()
        assert len(said.splitlines()) == 1, said
        return said

    return run


def test_a_sweep_is_reported_in_its_own_folder(give, tmp_path):
    plant_grid(tmp_path / "grid")
    said = give(f"compare=[{tmp_path}/grid]")
    assert "Fine-tuning adds more to these weights than to random ones" in said
    page = (tmp_path / "grid" / "report.html").read_text()
    assert "<title>grid</title>" in page
    assert (tmp_path / "grid" / "report.md").read_text().startswith("# grid\n")
    names = {path.name for path in (tmp_path / "grid" / "tables").iterdir()}
    assert {"results-1.csv", "results-1.tex", "interaction-1.csv", "interaction-1.tex"} <= names


def test_the_same_folders_give_the_same_bytes(give, tmp_path, png):
    plant_grid(tmp_path / "grid")
    plant_probe(tmp_path / "probe", png)
    written = []
    for out in ("first", "second"):
        give(f"compare=[{tmp_path}/grid,{tmp_path}/probe]", f"folder={tmp_path}/{out}")
        files = sorted(path for path in (tmp_path / out).rglob("*") if path.is_file())
        written.append({path.relative_to(tmp_path / out): path.read_bytes() for path in files})
    assert written[0] == written[1]
    give(f"compare=[{tmp_path}/grid]")
    again = (tmp_path / "grid" / "report.html").read_bytes()
    give(f"compare=[{tmp_path}/grid]")
    assert (tmp_path / "grid" / "report.html").read_bytes() == again


def test_queries_that_hold_html_are_shown_as_they_are(give, tmp_path):
    plant_grid(tmp_path / "grid", texts=["</script><img src=x onerror=alert(1)>"] * 40)
    give(f"compare=[{tmp_path}/grid]", f"folder={tmp_path}/out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["compare=[]"], "compare=[] names no folder; give run folders, or the folder that a sweep wrote into."),
        (["compare=outputs"], "compare=outputs must be a list of folders; write compare=[outputs]."),
        (["compare=[no/such]"], "compare: no/such does not exist; check the path"),
        (["compare=[conf,conf]"], "conf is given twice; name it once."),
        (["compare=[README.md]"], "compare: README.md is a file; give the folder that holds it."),
        (["compare=[conf]"], "compare=[conf] holds no finished run, evaluation or probe"),
        (["compare=[conf]", "models=[minilm]"], "compare=[…] reads finished folders and takes no models"),
        (["compare=[conf]", "sweep=outputs/x"], "takes no sweep; leave sweep out."),
        (["compare=[conf]", "latency=true"], "takes no latency; leave latency out."),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(refused, arguments, sentence):
    assert sentence in refused(*arguments)


def test_a_report_never_takes_the_place_of_a_file(refused, tmp_path):
    plant_grid(tmp_path / "grid")
    (tmp_path / "file").write_text("mine\n")
    assert "is a file; give a folder" in refused(f"compare=[{tmp_path}/grid]", f"folder={tmp_path}/file")
