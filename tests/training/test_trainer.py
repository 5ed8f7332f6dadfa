"""Every argument of Lightning's Trainer means what its users know, or is refused by name."""

import inspect

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import nn

from pipeline.errors import UserError
from pipeline.training.devices import require_devices
from pipeline.training.trainer import INSTEAD, MEANT, PRECISIONS, _require_known, make_trainer, require_trainer
from tests.cells import ROOT, Cells

ARGUMENTS = inspect.signature(pl.Trainer).parameters
PRE_TRAINING = ["stage=mlm", "stage.batch_size=2", "stage.held_out_texts=16", "stage.held_out_share=0.3"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Cells:
    return Cells(tmp_path_factory.mktemp("cells"))


def settings(**changed):
    default = OmegaConf.load(ROOT / "conf" / "trainer" / "default.yaml")
    return OmegaConf.merge(default, {"accelerator": "cpu", **changed})


def test_every_argument_is_decided_upon():
    assert not set(MEANT) & set(INSTEAD)
    assert ARGUMENTS.keys() - set(MEANT) - set(INSTEAD) == set()


@pytest.mark.parametrize("name", INSTEAD)
def test_what_would_be_ignored_is_refused_by_name(name):
    with pytest.raises(UserError, match=rf"trainer\.{name} is not for a configuration: .*[a-z]"):
        require_trainer(settings(**{name: 1}))


def test_an_argument_of_a_later_lightning_is_refused():
    with pytest.raises(UserError, match=r"trainer\.telepathy is not known to work here"):
        _require_known(["max_steps", "telepathy"], [*ARGUMENTS, "telepathy"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "fsdp"),
        ("strategy", "ddp_spawn"),
        ("gradient_clip_val", -1),
        ("gradient_clip_algorithm", "absolute"),
        ("deterministic", "maybe"),
        ("benchmark", "maybe"),
        ("detect_anomaly", 2),
        ("log_every_n_steps", 0),
        ("num_nodes", 0),
        *(("precision", value) for value in ("16-mixed", "16-true", "bf16-true", "64-true", "transformer-engine", 32)),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(name, value):
    with pytest.raises(UserError, match=rf"trainer\.{name}={value} "):
        require_trainer(settings(**{name: value}))


@pytest.mark.parametrize("devices", [[0, 1], [], True, 0, -1, "both"])
def test_devices_that_are_none_are_refused(devices):
    with pytest.raises(UserError, match=r"trainer\.devices="):
        require_devices(settings(devices=devices))


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has such a device")
def test_an_accelerator_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"trainer\.accelerator=mps asks for a GPU"):
        require_devices(settings(accelerator="mps"))


def test_the_trainer_has_what_was_asked_for():
    asked = {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value", "detect_anomaly": True}
    trainer = make_trainer(settings(**asked, deterministic="warn", benchmark=False))(logger=False)
    assert (trainer.gradient_clip_val, str(trainer.gradient_clip_algorithm.value)) == (0.5, "value")
    assert trainer._detect_anomaly
    assert torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize("before", [[], PRE_TRAINING], ids=["fine-tuning", "pre-training"])
def test_losses_are_logged_as_often_as_asked(cells, before):
    for every, steps in ((1, [1, 2, 3, 4]), (3, [3, 4])):
        trained = cells.trained(*before, f"trainer.log_every_n_steps={every}")
        assert [row["step"] for row in trained["curves"]["loss"]] == steps


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_a_precision_is_the_one_that_is_computed_in(cells, precision):
    cell = cells.made(cells.compose(f"trainer.precision={precision}", "encoding.precision=float32"))
    computed, kept = set(), set()

    def seen(layer: nn.Linear, inputs: tuple, output: torch.Tensor) -> None:
        if layer.training:
            computed.add(output.dtype)
            kept.add(layer.weight.dtype)

    for layer in cell.dual_encoder.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(seen)
    cell._training()(None)
    assert kept == {torch.float32}
    assert computed == {torch.float32 if precision == "32-true" else torch.bfloat16}
