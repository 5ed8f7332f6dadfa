"""Every configuration of this floor makes its class, and DPR chooses what goes with it."""

import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from pipeline.encoders.backbones import DPR, Backbone
from pipeline.encoders.building import QueryTower, Shared, Twin
from pipeline.encoders.pooling import Mean, Own, Pooling

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"pooling": (Pooling, Own), "query": QueryTower, "backbone": Backbone}
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((ROOT / "conf" / group).glob("*.yaml"))]


@pytest.fixture
def composed(tmp_path):
    """Compose this floor's groups alone; the backbone comes last, so that it may choose for the others."""
    for group in GROUPS:
        shutil.copytree(ROOT / "conf" / group, tmp_path / group)
    (tmp_path / "main.yaml").write_text("defaults: [pooling: own, query: shared, backbone: minilm, _self_]")

    def of(*overrides: str) -> DictConfig:
        with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
            return compose("main", list(overrides))

    return of


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_makes_its_class(composed, group, choice):
    setting = "query.backbone.path" if group == "query" else "backbone.path"
    path = [f"{setting}=somewhere"] if choice in ("local", "llama") else []
    config = composed(f"{group}={choice}", *path)
    made = instantiate(config[group])
    assert isinstance(made, GROUPS[group])
    if group == "backbone":
        assert made.name == choice


def test_dpr_chooses_two_towers_and_brings_its_pooling(composed):
    config = composed("backbone=dpr", "backbone.layers=3")
    assert isinstance(instantiate(config.backbone), DPR)
    assert isinstance(instantiate(config.query), Twin)
    assert type(instantiate(config.pooling)) is Own


def test_the_command_line_goes_before_what_dpr_chooses(composed):
    config = composed("backbone=dpr", "query=shared", "pooling=mean")
    assert isinstance(instantiate(config.query), Shared)
    assert isinstance(instantiate(config.pooling), Mean)
