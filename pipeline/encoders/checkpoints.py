"""Reading a transformer's weights strictly: every encoder weight is there, and nothing is there that it does not know."""

import inspect
import re
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig, PreTrainedModel

from pipeline.encoders.architecture import keep_first_layers
from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.weight_files import as_safetensors
from pipeline.errors import UserError

Init = Literal["pretrained", "random"]

HEADS = re.compile(
    r"(^|\.)(cls|lm_head|qa_outputs|qa_classifier|classifier|pre_classifier|score|pooler|predictions|sop_classifier"
    r"|vocab_transform|vocab_layer_norm|vocab_projector|lm_predictions|mask_predictions|generator_predictions"
    r"|generator_lm_head|discriminator_predictions|pred_layer|embed_out|lm_loss|logits_proj|sequence_summary"
    r"|multiple_choice_head|classification_head|entity_predictions|splinter_qass)(\.|$)"
    r"|^head\.(dense|norm|linear\d)\.|^decoder\.(weight|bias)$"
    r"|position_ids$|inv_freq$|masked_bias$|\.att(n|ention)\.bias$"
)
"""Weights that a checkpoint may have beyond its encoder: what other tasks put on top, and buffers of older versions."""

DECODER = re.compile(r"^(transformer\.)?decoder\.")
"""Weights of the half of an encoder-decoder that is not read."""

POOLER = re.compile(r"(^|\.)pooler\.")
"""Weights that an encoder may lack: nothing here reads the layer that next-sentence prediction used."""

GGUF = ("quantization_config", "_model_name_or_path")
"""What a config read from GGUF says about the file rather than the model."""

NAMES_SHOWN = 3


def read_config(folder: Path, trust_remote_code: bool = False, gguf_file: str | None = None) -> PretrainedConfig:
    """Read a model's config.

    Raises:
        UserError: When the architecture is unknown.
    """
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                str(folder), trust_remote_code=trust_remote_code, **({"gguf_file": gguf_file} if gguf_file else {})
            )
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise UserError(f"The config of {folder} cannot be used: {' '.join(str(error).split())[:300]}") from error
    return config


def load_transformer(
    folder: Path,
    config: PretrainedConfig,
    *,
    layers: int | None,
    init: Init,
    seed: int,
    trust_remote_code: bool = False,
    model_class: type[PreTrainedModel] | None = None,
    gguf_file: str | None = None,
) -> PreTrainedModel:
    """Read an encoder, or make a fresh one of the same architecture.

    Args:
        folder: The folder of the checkpoint.
        config: Its config; changed where layers are dropped.
        layers: Keep the first so many layers; None keeps all.
        init: `pretrained` reads the weights, `random` draws them from the seed.
        seed: The seed of `random`.
        trust_remote_code: Whether the folder's own Python code may run.
        model_class: The class to load through, where it is not the one that goes with the config.
        gguf_file: The file in the folder, where it is a GGUF model.

    Returns:
        The transformer in float32, in evaluation mode.

    Raises:
        UserError: When encoder weights are missing, of another shape, or unknown to the architecture.
    """
    loader: Any = model_class or _class_of(config)
    kwargs: dict[str, Any] = {"add_pooling_layer": False} if _has_optional_pooler(loader) else {}
    beyond = [HEADS, DECODER] if getattr(config, "is_encoder_decoder", False) else [HEADS]
    full_names = _weight_names(loader, config, kwargs) if layers is not None and not gguf_file else set()
    keep_first_layers(config, layers, str(folder))
    if hasattr(config, "use_cache"):
        config.use_cache = False
    config.dtype = torch.float32
    if init == "random":
        return fresh(loader, config, seed, kwargs)
    if trust_remote_code:
        kwargs["trust_remote_code"] = True
    if gguf_file:
        kwargs["gguf_file"] = gguf_file
    else:
        kwargs["use_safetensors"] = True
    try:
        with quiet_transformers(), as_safetensors(folder) as place:
            model, report = loader.from_pretrained(
                str(place),
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **kwargs,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UserError(f"The weights in {folder} cannot be read: {' '.join(str(error).split())[:300]}") from error
    _refuse_differences(folder, model, report, full_names, beyond)
    model.name_or_path = config.name_or_path = str(folder)  # and not the place of what it was converted to
    return _unquantized(model).eval() if gguf_file else model.eval()


def _class_of(config: PretrainedConfig) -> Any:
    """Find the class of the bare encoder, or the automatic one for architectures outside the library."""
    if type(config) in AutoModelForTextEncoding._model_mapping:  # of T5 and its kin the encoder alone
        return AutoModelForTextEncoding._model_mapping[type(config)]
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"A {config.model_type} model has an encoder and a decoder; only its like of T5 can be used.")
    if type(config) in AutoModel._model_mapping:
        found = AutoModel._model_mapping[type(config)]
        return found[0] if isinstance(found, tuple) else found
    return AutoModel


def _has_optional_pooler(loader: Any) -> bool:
    """Whether the class can be made without the layer that next-sentence prediction used, which nothing here reads."""
    return "add_pooling_layer" in inspect.signature(loader.__init__).parameters


def _weight_names(loader: Any, config: PretrainedConfig, kwargs: dict[str, Any]) -> set[str]:
    """List the weights of the whole architecture, without making them."""
    with torch.device("meta"):
        model = loader.from_config(config) if loader is AutoModel else loader(config, **kwargs)
    return set(model.state_dict())


def fresh(loader: Any, config: PretrainedConfig, seed: int, kwargs: dict[str, Any] | None = None) -> PreTrainedModel:
    """Draw new weights the way the architecture does, whatever the state of the global generator."""
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = loader.from_config(config) if loader is AutoModel else loader(config, **(kwargs or {}))
    return model.float().eval()


def _unquantized(model: PreTrainedModel) -> PreTrainedModel:
    """Rebuild a model read from GGUF as an ordinary one, which can be trained and saved."""
    config = type(model.config)(**{name: value for name, value in model.config.to_dict().items() if name not in GGUF})
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    return plain


def _refuse_differences(
    folder: Path,
    model: PreTrainedModel,
    report: dict[str, Any],
    full_names: set[str],
    beyond: list[re.Pattern[str]],
) -> None:
    """Compare what the checkpoint had with what the encoder needs."""
    prefix = f"{model.base_model_prefix}."
    missing = sorted(name for name in report["missing_keys"] if not POOLER.search(name))
    strange = sorted(
        name
        for name in report["unexpected_keys"]
        if name not in full_names
        and name.removeprefix(prefix) not in full_names
        and not any(pattern.search(name) for pattern in beyond)
    )
    reshaped = sorted(f"{name} {tuple(there)} for {tuple(here)}" for name, there, here in report["mismatched_keys"])
    kinds = (("missing are", missing), ("unknown to it are", strange), ("of another shape are", reshaped))
    faults = [f"{kind} {_listed(names)}" for kind, names in kinds if names]
    if faults:
        raise UserError(
            f"The checkpoint {folder} does not hold the weights of the {type(model).__name__} that it is read as: "
            + "; ".join(faults)
            + "; take the checkpoint of the right architecture, or save it again."
        )


def _listed(names: list[str]) -> str:
    """Name the first few, and say how many there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
