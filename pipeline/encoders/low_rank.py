"""Low-rank adapters (LoRA, Hu et al. 2022) merged into the transformer that they were trained over, through peft."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoders.checkpoints import HEADS
from pipeline.encoders.folders import (
    check_safetensors,
    find_folder,
    package_folder,
    pickled_weights,
    quiet_transformers,
)
from pipeline.encoders.weight_files import read_weights
from pipeline.errors import UserError
from pipeline.files import read_object

CONFIG, STEM = "adapter_config.json", "adapter_model"
INSTALL = "pip install peft==0.21.2"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, alone or beside the transformer that it was trained over."""
    return (folder / CONFIG).exists()


def base_of(folder: Path, trust_remote_code: bool = False) -> Path:
    """Find the transformer that an adapter was trained over: beside it in its folder, or where its config says.

    Args:
        folder: Holds the adapter.
        trust_remote_code: As in `find_folder`.

    Raises:
        UserError: When the adapter cannot be merged or its base is not within reach; the base is named.
    """
    package_folder("peft", "", INSTALL)
    config = adapter_config(folder)
    if (folder / "config.json").exists():
        return folder
    base = config.get("base_model_name_or_path")
    if not base:
        raise UserError(f"{folder / CONFIG} names no base; name the folder of one as base_model_name_or_path.")
    try:
        found = find_folder(base, None if Path(base).is_dir() else config.get("revision"), trust_remote_code)
    except UserError as error:
        raise UserError(
            f"{folder} is an adapter over {base}, which is missing ({str(error).split(';')[0]}); name the folder of a copy"
            f" as base_model_name_or_path in {CONFIG}."
        ) from error
    if is_adapter(found):
        raise UserError(
            f"{folder} is an adapter over {base}, which is an adapter itself; adapters over adapters are not read, so merge"
            " that one into its own base first."
        )
    return found


def with_adapter(model: PreTrainedModel, folder: Path, layers: int | None = None) -> PreTrainedModel:
    """Merge an adapter into a transformer: W + scale * B A for each module that it targets.

    Args:
        model: The transformer in float32; its weights are changed.
        folder: Holds `adapter_config.json` and the weights `adapter_model`, as peft saves them.
        layers: To how many layers the transformer was cut; the adapter's weights for the others are left out then.

    Returns:
        The transformer, an ordinary one.

    Raises:
        UserError: When peft is missing, the folder is no adapter or damaged, or the adapter was made for another
            transformer.
    """
    package_folder("peft", "", INSTALL)
    config = _lora_config(folder)
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict  # late: optional

    weights = _weights(folder, layers, model.base_model_prefix)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of what is then checked by name
            settings = PeftConfig.from_pretrained(str(folder))
            settings.task_type = None  # a task's own wrapping expects a head, which nothing here reads
            settings.modules_to_save = _present(model, getattr(settings, "modules_to_save", None))
            wrapped: Any = get_peft_model(model, settings)
            expected = get_peft_model_state_dict(wrapped)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The adapter {folder} cannot be put on a {type(model).__name__} ({' '.join(str(error).split())[:200]}); give"
            f" the base that it was trained over, {_base_named(config)}."
        ) from error
    _refuse_differences(folder, config, expected, weights)
    set_peft_model_state_dict(wrapped, weights)
    try:
        return wrapped.merge_and_unload().requires_grad_(True).eval()
    except NotImplementedError as error:
        raise UserError(
            f"The adapter {folder} cannot be merged ({error}); take a model that is merged already."
        ) from error


def _present(model: PreTrainedModel, modules: list[str] | None) -> list[str] | None:
    """Leave out modules that the transformer does not have: heads, which were trained beside the adapter."""
    names = [name for name, _ in model.named_modules()]
    return [module for module in modules or [] if any(name.endswith(module) for name in names)] or None


def adapter_config(folder: Path) -> dict[str, Any]:
    """Read an adapter's config after checking that the folder is whole and safe to load.

    Raises:
        UserError: When it is not, or holds another kind of adapter than LoRA.
    """
    config = _lora_config(folder)
    if pickled_weights(folder, STEM):
        read_weights(folder, STEM)  # only reading tells what a pickle holds
    else:
        check_safetensors(folder / f"{STEM}.safetensors")
    return config


def _lora_config(folder: Path) -> dict[str, Any]:
    """Read the config of an adapter of the one kind that is merged."""
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} has no {CONFIG}, so it is no adapter; give the folder that peft saved.")
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise UserError(f"{folder} is an adapter of the kind {config.get('peft_type')}; only LORA can be merged.")
    return config


def _weights(folder: Path, layers: int | None, prefix: str) -> dict[str, Tensor]:
    """Read the adapter's weights in float32, as they are named over the bare transformer; those of heads are left out."""
    found = {}
    for name, weight in read_weights(folder, STEM).items():
        # An adapter that was trained with a head on top has the name of what is below the head in its names.
        name = name.replace(f"base_model.model.{prefix}.", "base_model.model.", 1)
        if HEADS.search(name.removeprefix("base_model.model.")):
            continue
        layer = re.search(r"\.(?:layers?|h|block)\.(\d+)\.", name)
        if layers is None or layer is None or int(layer[1]) < layers:
            found[name] = weight.to(torch.float32)
    return found


def _refuse_differences(
    folder: Path, config: dict[str, Any], expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    """Compare what the adapter has with what this transformer takes."""
    shapes = [
        f"{name} {tuple(found[name].shape)} for {tuple(weight.shape)}"
        for name, weight in expected.items()
        if name in found and found[name].shape != weight.shape
    ]
    kinds = {
        "missing": sorted(expected.keys() - found.keys()),
        "unknown to it": sorted(found.keys() - expected.keys()),
        "of another shape": shapes,
    }
    faults = [f"{len(names):,} weights are {what}, such as {names[0]}" for what, names in kinds.items() if names]
    if faults:
        raise UserError(
            f"The adapter {folder} was made for another transformer: {'; '.join(faults)}; give the base that it was"
            f" trained over, {_base_named(config)}."
        )


def _base_named(config: dict[str, Any]) -> str:
    return str(config.get("base_model_name_or_path") or "which its config does not name")
