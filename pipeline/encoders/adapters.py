"""Low-rank adapters (LoRA, Hu et al. 2022) merged into the transformer that they were trained over, through peft."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoders.backbones import Kind, Llama, Loaded
from pipeline.encoders.folders import check_safetensors, find_folder, package_folder, quiet_transformers, refuse_pickle
from pipeline.encoders.projection import Projection
from pipeline.errors import UserError
from pipeline.files import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
INSTALL = "pip install peft==0.21.2"


class RepLlama(Llama):
    """A causal decoder with a LoRA adapter that was trained for retrieval. Ma et al., RepLLaMA (2023).

    Pooling, normalisation, prompts and the token at the end are those of the adapter's model card and of its authors'
    code; the length is the one that they encode BEIR with.

    Args:
        path: The decoder that the adapter was trained over, as in `Backbone`.
        adapter: Folder or hub name of the adapter.
        settings: As in `Backbone`; `init: random` draws the decoder and leaves the adapter out.
    """

    family = "repllama"
    pooling = "last"
    similarity = "cosine"
    max_length = 512
    query_prompt = "query: "
    document_prompt = "passage: "
    append_eos = True
    title_separator = " "
    tuned_on = ("MS MARCO",)

    def __init__(self, path: str | None = None, *, adapter: str, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.adapter = adapter

    def load(self, kind: Kind, seed: int, max_length: int | None = None) -> Loaded:
        """Load the decoder and merge the adapter; refuse an adapter that is none before billions of weights are read."""
        if self.init == "pretrained":
            package_folder("peft", "", INSTALL)
            adapter_config(find_folder(self.adapter))
        return super().load(kind, seed, max_length)

    def unwrapped(self, model: PreTrainedModel) -> tuple[PreTrainedModel, list[Projection]]:
        """Merge the adapter."""
        if self.init == "random":
            return model, []
        return with_adapter(model, find_folder(self.adapter), self.layers), []


def with_adapter(model: PreTrainedModel, folder: Path, layers: int | None = None) -> PreTrainedModel:
    """Merge an adapter into a transformer: W + scale * B A for each module that it targets.

    Args:
        model: The transformer in float32; its weights are changed.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`, as peft saves them.
        layers: To how many layers the transformer was cut; the adapter's weights for the others are left out then.

    Returns:
        The transformer, an ordinary one.

    Raises:
        UserError: When peft is missing, the folder is no adapter or holds pickle, or the adapter was made for another
            transformer.
    """
    package_folder("peft", "", INSTALL)
    config = adapter_config(folder)
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict  # late: optional

    weights = _weights(folder, layers)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of what is then checked by name
            settings = PeftConfig.from_pretrained(str(folder))
            settings.task_type = None  # a task's own wrapping expects a head, which nothing here reads
            wrapped: Any = get_peft_model(model, settings)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The adapter {folder} cannot be put on a {type(model).__name__} ({' '.join(str(error).split())[:200]}); give"
            f" the base that it was trained over, {_base_named(config)}."
        ) from error
    _refuse_differences(folder, config, get_peft_model_state_dict(wrapped), weights)
    set_peft_model_state_dict(wrapped, weights)
    return wrapped.merge_and_unload().requires_grad_(True).eval()


def adapter_config(folder: Path) -> dict[str, Any]:
    """Read an adapter's config after checking that the folder is whole and safe to load.

    Raises:
        UserError: When it is not, or holds another kind of adapter than LoRA.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} has no {CONFIG}, so it is no adapter; give the folder that peft saved.")
    refuse_pickle(str(folder), [path.name for path in folder.iterdir()])
    check_safetensors(folder / WEIGHTS)
    config = read_json(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise UserError(f"{folder} is an adapter of the kind {config.get('peft_type')}; only LORA can be merged.")
    return config


def _weights(folder: Path, layers: int | None) -> dict[str, Tensor]:
    """Read the adapter's weights in float32, as they are named over the bare transformer."""
    found = {}
    for name, weight in load_file(folder / WEIGHTS).items():
        # An adapter that was trained with a language-model head on top has one more `model.` in its names.
        name = re.sub(r"^base_model\.model\.model\.", "base_model.model.", name)
        layer = re.search(r"\.layers\.(\d+)\.", name)
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
