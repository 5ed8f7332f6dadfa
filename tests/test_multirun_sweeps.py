"""Every sweep in `multirun_sweeps/` composes, cell by cell, and has as many cells as its first lines say."""

import re
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = sorted(path.stem for path in (ROOT / "multirun_sweeps").glob("*.yaml"))
QUICK = [name for name in SWEEPS if name.endswith("_quick")]


def composed(name: str, *overrides: str) -> DictConfig:
    """Compose what `python train.py -m -cd multirun_sweeps -cn NAME` composes."""
    with initialize_config_dir(str(ROOT / "multirun_sweeps"), version_base="1.3"):
        path = f"hydra.searchpath=[file://{ROOT / 'conf'}]"
        return compose(name, overrides=[path, *overrides], return_hydra_config=True)


def axes_of(name: str) -> dict[str, list[str]]:
    """Give the values of every axis; of a tuning, the ends of every range, and every choice."""
    sweeper = composed(name).hydra.sweeper
    if "search" in sweeper:
        tried = {key: [value.low, value.high] if "low" in value else value for key, value in sweeper.search.items()}
        return {key: [str(value) for value in values] for key, values in tried.items()}
    params = sweeper.params or {}
    return {key: [value.strip() for value in str(values).split(",")] for key, values in params.items()}


def count_of(name: str) -> int:
    return composed(name).hydra.sweeper.get("trials") or prod(map(len, axes_of(name).values()))


def first_lines(name: str) -> str:
    lines = (ROOT / "multirun_sweeps" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.lstrip("# ") for line in lines[:end])


def cells(name: str) -> Iterator[list[str]]:
    """Give the overrides of every cell; seeds compose alike, and one stands for all."""
    axes = {key: values[:1] if key == "seed" else values for key, values in axes_of(name).items()}
    return ([f"{key}={value}" for key, value in zip(axes, chosen, strict=True)] for chosen in product(*axes.values()))


def cells_said(name: str) -> int:
    found = re.search(r"(\d+|One) (?:cell|trial)", first_lines(name))
    assert found, f"{name} does not say how many cells it has"
    return 1 if found[1] == "One" else int(found[1])


@pytest.mark.parametrize("name", SWEEPS)
def test_every_cell_composes(name):
    for overrides in cells(name):
        config = composed(name, *overrides)
        with open_dict(config):
            del config["hydra"]
        OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize("name", SWEEPS)
def test_its_first_lines_say_the_question_the_cells_and_the_command(name):
    said = first_lines(name)
    assert "?" in said or "The small form of" in said
    assert cells_said(name) == count_of(name)
    assert "minute" in said or "hour" in said
    assert f"-cn {name}" in said


@pytest.mark.parametrize("name", SWEEPS)
def test_its_folder_has_its_name(name):
    folder = composed(name).hydra.sweep.dir
    assert folder == f"outputs/{name.replace('erase_then_finetune', 'relearned')}"


@pytest.mark.parametrize("name", QUICK)
def test_the_quick_form_is_smaller(name):
    whole = name.removesuffix("_quick")
    assert whole in SWEEPS
    small, large = ({"cells": cells_said(each), "config": composed(each)} for each in (name, whole))

    def work(sweep: dict) -> int:
        return sweep["cells"] * sweep["config"].trainer.max_steps

    assert work(small) <= work(large) and first_lines(name) != first_lines(whole)


def test_a_sweep_has_a_quick_form():
    assert [name for name in SWEEPS if not name.endswith("_quick") and f"{name}_quick" not in SWEEPS] == []


def test_one_recipe_over_all_bases():
    """What a base decides is its weights; a difference in the recipe would be a difference of something else."""
    parts = ("stage", "trainer", "encoder", "negatives", "evaluation", "dataset", "query", "pooling")
    recipes = set()
    for base in axes_of("pretrain_vs_finetune")["base"]:
        config = composed("pretrain_vs_finetune", f"base={base}")
        recipes.add(OmegaConf.to_yaml(OmegaConf.create({part: config[part] for part in parts}), resolve=True))
    assert len(recipes) == 1


def test_nothing_is_transferred_to_what_it_was_trained_on():
    names = axes_of("recipe_transfer")["trained_on"]
    for trained_on in names:
        config = composed("recipe_transfer", f"trained_on={trained_on}")
        assert config.dataset.name == trained_on
        others = {name: dataset.name for name, dataset in config.evaluation.transfer.items()}
        assert others == {name: name for name in names if name != trained_on}
        limits = {dataset.limit for dataset in config.evaluation.transfer.values()}
        assert limits == {config.dataset.limit}
