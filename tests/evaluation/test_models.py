"""What a user names on the command line, and what it means."""

import re

import pytest
from hydra import compose, initialize_config_dir

from pipeline.entry import CONFIGS
from pipeline.errors import UserError
from pipeline.evaluation.models import find_models


def test_a_star_stands_for_all_folders_that_match(tmp_path):
    for name in ("static", "first_2"):
        (tmp_path / "sweep" / name / "model").mkdir(parents=True)
    (tmp_path / "sweep" / "cells.csv").touch()
    found = find_models([f"{tmp_path}/sweep/*", "minilm"])
    assert [model.name for model in found] == ["first_2", "static", "minilm"]
    assert found[0].folder == tmp_path / "sweep" / "first_2" / "model"


def test_a_star_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder matches"):
        find_models([f"{tmp_path}/*"])


def named(word):
    """Give what the command line means."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return find_models(compose("evaluate", [word]).models)


def test_a_backbone_is_named_with_its_settings():
    one, other, third = named(
        "models=[{model: local, settings: {backbone: {path: runs/a/model}}},"
        "{model: local, settings: {backbone: {path: b, layers: 2}, encoder: {similarity: dot}}},minilm]"
    )
    assert [one.name, other.name, third.name] == ["a", "b_layers-2_similarity-dot", "minilm"]
    assert other.source == 'backbone=local backbone.path="b" backbone.layers=2 encoder.similarity="dot"'
    assert (one.keeps_its_name, third.keeps_its_name) == (False, True)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("local", "local needs the folder of a model; write {model: local, settings: {backbone: {path: FOLDER}}}"),
        ("{model: llama}", "llama needs the folder of a model; write {model: llama, settings: "),
        (
            "{model: minilm, side: query}",
            "side: query} must be a folder, a backbone's name, or {model: NAME, settings: ",
        ),
        ("{settings: {seed: 1}}", "must be a folder, a backbone's name, or {model: NAME, settings: "),
        ("{model: minilm, settings: {stage: dpr}}", "minilm.settings.stage would change nothing of a model"),
        ("{model: minilm, settings: [1]}", "minilm.settings must be what train.py would be told"),
        ("{model: conf, settings: {seed: 1}}", "write {model: local, settings: {backbone: {path: conf}, …}}"),
        ("{model: minilmm}", "minilmm is neither a folder nor a backbone; did you mean minilm"),
    ],
)
def test_what_no_entry_can_mean_is_refused(monkeypatch, entry, sentence):
    monkeypatch.chdir(CONFIGS.parent)
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        entries = compose("evaluate", [f"models=[{entry}]"]).models
        with pytest.raises(UserError, match=re.escape(sentence)):
            find_models(entries)[0].load()
