"""Checkpoints give back the same bits, are whole or absent, and refuse another architecture."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.training.checkpoint import Checkpoints, load_weights, own_weights


def trained(seed: int = 0, steps: int = 3, width: int = 4):
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.LayerNorm(width))
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1)
    for _ in range(steps):
        step(module, optimiser)
    return module, optimiser


def step(module, optimiser) -> None:
    optimiser.zero_grad()
    module(torch.ones(2, 4)).square().sum().backward()
    optimiser.step()


def bits(module) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in own_weights(module).values()]


def test_training_goes_on_as_if_nothing_had_happened(tmp_path):
    module, optimiser = trained()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(3, module, optimiser, {"history": {"losses": []}})
    step(module, optimiser)

    resumed, fresh = trained(seed=1, steps=0)
    checkpoints.load_weights(resumed)
    checkpoints.load_optimiser(fresh)
    step(resumed, fresh)
    assert bits(resumed) == bits(module)
    assert checkpoints.state() == {"step": 3, "history": {"losses": []}}


def test_the_latest_two_are_kept(tmp_path):
    module, optimiser = trained()
    for steps in (5, 10, 15):
        Checkpoints(tmp_path).write(steps, module, optimiser, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]
    assert Checkpoints(tmp_path).latest() == tmp_path / "step-00000015"


def test_what_a_kill_left_half_written_is_not_read(tmp_path):
    module, optimiser = trained()
    Checkpoints(tmp_path).write(5, module, optimiser, {})
    (tmp_path / ".step-00000009.part").mkdir()
    assert Checkpoints(tmp_path).state()["step"] == 5


def test_shared_weights_are_kept_once(tmp_path):
    layer = torch.nn.Linear(2, 2)
    assert list(own_weights(torch.nn.ModuleDict({"query": layer, "document": layer}))) == ["query.weight", "query.bias"]


def test_another_architecture_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write_best(trained()[0])
    with pytest.raises(UserError, match="another architecture"):
        load_weights(torch.nn.Linear(4, 4), checkpoints.best)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write_best(trained()[0])
    checkpoints.best.write_bytes(checkpoints.best.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        load_weights(trained()[0], checkpoints.best)
