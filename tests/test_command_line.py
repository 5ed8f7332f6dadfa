"""What a command line says reaches the settings as it was typed, and what cannot be read is shown as it should be typed."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from pipeline.command_line import as_typed, comma_sentence, command, grammar_sentence, word
from pipeline.folder_names import LONGEST_NAME, _name


def read(override: str):
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize(
    "value", ["12e4567", "1e5", "0123", "1", "1_000", "true", "False", "NULL", "nan", "-inf", "a b"]
)
@pytest.mark.parametrize(
    "key", ["folder", "backbone.revision", "dataset.name", "+models.x.settings.backbone.path", "dataset.test"]
)
def test_text_is_what_was_typed(key, value):
    assert read(as_typed(f"{key}={value}")) == value
    assert [str(one) for one in read(as_typed(f"run_files=[{value},b]"))] == [value, "b"]


@pytest.mark.parametrize(
    ("override", "typed"),
    [
        ("models=[1,2],[3,4]", 'models=["1","2"],["3","4"]'),
        ("dataset.name=1e5,'a'", "dataset.name=\"1e5\",'a'"),
        ("models=[1,'a b']", "models=[\"1\",'a b']"),
        ("models=[12e4567,{model: local}]", 'models=["12e4567",{model: local}]'),
        ("logger.tags=[[1, 2],3]", 'logger.tags=[["1", "2"],"3"]'),
    ],
)
def test_every_part_is_text(override, typed):
    assert as_typed(override) == typed


@pytest.mark.parametrize(
    "override",
    [
        *("folder=null", "seed=1", "folder=", "dataset.split={train: 1}", "tags=[]", "folder='1'"),
        *("dataset.split.train=0.8", "probe.division.test=0.5", "probe.documents=40"),
        *("dataset.name=choice(1,2)", "models={base: 1}", "folder=${hydra:job.num}", r"dataset.path=a\,1"),
    ],
)
def test_what_is_meant_otherwise_stays(override):
    assert as_typed(override) == override


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("folder=~/x", str(Path.home() / "x")),
        ("folder=outputs/é", "outputs/é"),
        ("dataset.path=a#b", "a#b"),
        ("dataset.path=a(b).jsonl", "a(b).jsonl"),
        ("dataset.path=a=b.jsonl", "a=b.jsonl"),
        ("dataset.path=it's.jsonl", "it's.jsonl"),
        ("backbone.path={a}", "{a}"),
        ("models=[~/x,a=b]", [str(Path.home() / "x"), "a=b"]),
        ("models={base: minilm, tuned: a=b}", {"base": "minilm", "tuned": "a=b"}),
    ],
)
def test_what_cannot_be_read_is_shown_as_it_is_to_be_typed(override, meant):
    with pytest.raises(HydraException):
        read(override)
    shown = grammar_sentence(override).partition("; write ")[2].removesuffix(".")
    (typed,) = shlex.split(shown)
    assert typed.partition("=")[0] == override.partition("=")[0]
    assert read(typed) == meant


def test_a_folder_of_an_older_version_is_shown_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "stage=dpr,12345678").mkdir(parents=True)
    shown = grammar_sentence("compare=[outputs/stage=dpr,12345678,other]").partition("; write ")[2].removesuffix(".")
    assert read(*shlex.split(shown)) == ["outputs/stage=dpr,12345678", "other"]


def test_what_is_no_override_is_told_from_one():
    assert grammar_sentence("minilm}").startswith("minilm} is not KEY=VALUE; a value with spaces")
    assert grammar_sentence("földer=3").startswith("földer=3: földer is no key")
    assert "'dataset.path=\"a,b\"' for one value, 'dataset.path=[a,b]' for a list" in comma_sentence("dataset.path=a,b")


@pytest.mark.parametrize(
    "value", ["a b", "x,y", "1e5", "true", None, True, 3, 0.5, ["a", "b c", 1], {"a": 1, "b": "1"}, "", "~", "é", "'\""]
)
def test_a_word_is_read_back_as_its_value(value):
    (*_, written) = shlex.split(command("train.py", word("key", value)))
    assert read(written) == value and type(read(written)) is type(value)


SETTINGS = {"dataset": {"limit": 1}, "probe": {"limit": 3}, "stage": {"learning_rate": 1}}
OVERRIDES = {
    "nothing": [],
    "many": ["stage=dpr", "stage.learning_rate=1e-3", "seed=0"],
    "odd letters": ["encoder.query_prompt=é: 'q' *? [x] {y}~#()"],
    "empty": ["encoder.query_prompt="],
    "other scripts": ["backbone.revision=中文"],
    "long": ["encoder.query_prompt=" + "x" * 300],
    "longer": [f"stage.k{number}={'v' * 30}" for number in range(20)],
    "groups elsewhere": ["+dataset@evaluation.transfer.b=beir", "hydra/launcher=basic"],
    "two of one end": ["dataset.limit=20", "probe.limit=30"],
}


@pytest.mark.parametrize("digest", ["12345678", "12e45678", "abcdef01"])
@pytest.mark.parametrize("words", OVERRIDES.values(), ids=OVERRIDES)
def test_a_folders_name_needs_no_quotes_anywhere(words, digest):
    name = _name("", words, SETTINGS, digest)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) and name.endswith(f"--{digest}") and len(name) <= LONGEST_NAME
    assert shlex.quote(name) == name
    assert read(f"folder={name}") == name and read(f"models=[{name}]") == [name]


def test_a_folders_name_tells_settings_of_one_end_apart():
    assert _name("probe-linear", ["probe=linear", *OVERRIDES["two of one end"]], SETTINGS, "1") == (
        "probe-linear--dataset.limit-20--probe.limit-30--1"
    )
    assert _name("", ["probe.limit=30"], SETTINGS, "1") == "probe.limit-30--1"
    assert _name("", ["stage.learning_rate=1e-3"], SETTINGS, "1") == "learning_rate-1e-3--1"
