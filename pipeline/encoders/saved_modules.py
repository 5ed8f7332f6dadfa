"""Reading one module that follows the transformer in a sentence-transformers folder: a pooling, or a layer."""

from collections.abc import Callable
from pathlib import Path

from pipeline.encoders.modules import Module
from pipeline.encoders.pooling import Pooling, SideBySide, WithoutPrompt, pooling_named
from pipeline.encoders.projection import Layer, LayerNorm, Normalize, Projection
from pipeline.encoders.weight_files import read_weights
from pipeline.errors import UserError
from pipeline.files import read_object

POOLING_NAMES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
"""In the order in which sentence-transformers puts their vectors side by side."""

VECTOR, TOKENS = "sentence_embedding", "token_embeddings"
"""What sentence-transformers calls a text's vector and the states of its tokens."""


def is_over_tokens(module: Module) -> bool:
    """Whether a module is laid over the states of tokens, and not over the vector.

    Raises:
        UserError: When it takes its input elsewhere, or puts its output elsewhere.
    """
    path = module.folder / "config.json"
    config = read_object(path, module_input_name=str, module_output_name=str) if path.exists() else {}
    taken = config.get("module_input_name") or VECTOR
    given = config.get("module_output_name") or taken
    if taken not in (VECTOR, TOKENS) or given != taken:
        raise UserError(
            f"{module.folder} makes {given} of {taken}; known are layers that turn {VECTOR} or {TOKENS} into the same."
        )
    return taken == TOKENS


def read_pooling(module: Module) -> Pooling:
    """Read a pooling module, in the format of today or of before.

    Raises:
        UserError: When it pools in a way that is not known here.
    """
    config = module.config()
    if "pooling_mode" in config:
        chosen = config["pooling_mode"]
        listed = map(str, chosen if isinstance(chosen, list) else [chosen])
        names = [POOLING_NAMES.get(name, name) for name in listed]
    else:
        on = [flag for flag, value in config.items() if flag.startswith("pooling_mode_") and value is True]
        order = [*POOLING_FLAGS]
        on.sort(key=lambda flag: order.index(flag) if flag in order else len(order))
        names = [POOLING_FLAGS.get(flag, flag) for flag in on] or ["mean"]
    if not names or not set(names) <= set(POOLING_NAMES.values()):
        raise UserError(
            f"{module.folder} pools by {' and '.join(names) or 'nothing'}; known are {', '.join(POOLING_NAMES)}."
        )
    poolings = [pooling_named(name) for name in names]
    pooling = poolings[0] if len(poolings) == 1 else SideBySide(poolings)
    if config.get("include_prompt", True):
        return pooling
    if "weighted_mean" in names:
        raise UserError(f"{module.folder} pools by weightedmean without the prompt, which is not known here.")
    return WithoutPrompt(pooling)


def _projection(module: Module) -> Projection:
    """Read a Dense module with its weights."""
    config = module.config(in_features=int, out_features=int)
    if config.get("use_residual"):
        raise UserError(f"{module.folder} has a residual connection, which is not known here; choose another model.")
    projection = Projection(
        config["in_features"],
        config["out_features"],
        config.get("bias", True),
        config.get("activation_function", "torch.nn.modules.activation.Tanh"),
    )
    _fill(projection, module.folder)
    return projection


def _layer_norm(module: Module) -> LayerNorm:
    """Read a LayerNorm module with its weights."""
    norm = LayerNorm(module.config(dimension=int)["dimension"])
    _fill(norm, module.folder)
    return norm


LAYERS: dict[str, Callable[[Module], Layer]] = {
    "Dense": _projection,
    "LayerNorm": _layer_norm,
    "Normalize": lambda module: Normalize(),
}
"""What reads a layer of each kind."""


def _fill(layer: Layer, folder: Path) -> None:
    """Put a module's weights into its layer."""
    weights = read_weights(folder)
    here = {name: tuple(weight.shape) for name, weight in layer.state_dict().items()}
    there = {name: tuple(weight.shape) for name, weight in weights.items()}
    if here != there:
        raise UserError(f"{folder} holds {there} where {here} is expected; save the model again.")
    layer.load_state_dict(weights)
