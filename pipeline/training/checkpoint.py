"""A checkpoint is weights, optimiser and a number, in safetensors and JSON: nothing of it is ever unpickled."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.files import disk_errors, read_json, write_json

KEPT = 2


class Checkpoints:
    """The checkpoints of one training: the latest step, to resume from, the one before it, and the best weights so far.

    Args:
        folder: Where they lie; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best = folder / "best.safetensors"

    def latest(self) -> Path | None:
        """Find the last complete checkpoint."""
        steps = sorted(self.folder.glob("step-*"))
        return steps[-1] if steps else None

    def write(self, step: int, module: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps beside its place, rename it there, and keep one older.

        Weights can be finite and yet beyond rescue; whoever finds that out still has the checkpoint before.

        Raises:
            UserError: When the disk is full.
        """
        place = self.folder / f"step-{step:08d}"
        beside = self.folder / f".step-{step:08d}.part"
        with disk_errors(place):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            save_file(own_weights(module), beside / "weights.safetensors")
            save_file(_optimiser_tensors(optimiser), beside / "optimiser.safetensors")
            write_json(beside / "state.json", {"step": step, **state})
            if place.exists():
                shutil.rmtree(place)
            beside.replace(place)
        for older in sorted(self.folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(older)

    def write_best(self, module: nn.Module) -> None:
        """Keep the weights of the best validation so far."""
        with disk_errors(self.best):
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = self.best.with_name(".best.part")
            save_file(own_weights(module), beside)
            beside.replace(self.best)

    def state(self) -> dict[str, Any] | None:
        """Read the latest checkpoint's number and history, or nothing when there is none."""
        latest = self.latest()
        return None if latest is None else read_json(latest / "state.json")

    def load_weights(self, module: nn.Module) -> None:
        """Put the latest checkpoint's weights into a module."""
        latest = self.latest()
        assert latest is not None
        load_weights(module, latest / "weights.safetensors")

    def load_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        """Put the latest checkpoint's moments into an optimiser over the same weights."""
        latest = self.latest()
        assert latest is not None
        state: dict[int, dict[str, Tensor | int]] = {}
        for name, tensor in _read(latest / "optimiser.safetensors").items():
            place, key = name.split(".")
            state.setdefault(int(place), {})[key] = int(tensor) if tensor.dtype == torch.int64 else tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def own_weights(module: nn.Module) -> dict[str, Tensor]:
    """List a module's weights and buffers by name, each once however often it is shared."""
    seen: set[int] = set()
    weights = {}
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            weights[name] = tensor.detach().contiguous()
    return weights


def load_weights(module: nn.Module, path: Path) -> None:
    """Copy weights that `own_weights` named into a module.

    Raises:
        UserError: When the file is damaged or belongs to another architecture.
    """
    saved = _read(path)
    own = own_weights(module)
    if saved.keys() != own.keys():
        odd = sorted(saved.keys() ^ own.keys())
        raise UserError(
            f"{path} belongs to another architecture (it differs in {', '.join(odd[:3])}); use another folder."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's state: `<place of the weight>.<moment>`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{place}.{key}": torch.as_tensor(value).contiguous()
        for place, moments in state.items()
        for key, value in moments.items()
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise UserError(f"{path} is damaged ({error}); remove its folder and give the same command again.") from error
