"""What a sentence-transformers folder says of its transformer beside the transformer's own files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.encoders.tokenization import limited
from pipeline.errors import UserError
from pipeline.files import read_object

FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""What the file has been called; the first that is there and says something counts, as in sentence-transformers."""

TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
"""How a transformer is asked for the states of a text's tokens."""

ARGUMENTS = (
    ("model", ("model_args", "model_kwargs")),
    ("tokenizer", ("tokenizer_args", "processor_kwargs")),
    ("config", ("config_args", "config_kwargs")),
)
"""Arguments that the library hands on to transformers, under their names of yesterday and of today."""

OBJECTS = {name: dict for _, names in ARGUMENTS for name in names} | dict.fromkeys(
    ("modality_config", "processing_kwargs"), dict
)
"""What holds fields of its own."""

HARMLESS = {
    "model": {
        "add_pooling_layer",
        "attn_implementation",
        "device_map",
        "dtype",
        "low_cpu_mem_usage",
        "torch_dtype",
        "use_safetensors",
    },
    "tokenizer": {"model_max_length", "padding_side", "use_fast"},
    "config": {"add_pooling_layer", "use_cache"},
}
"""Arguments that change no vector beyond rounding, or are honoured; others are refused."""

NEVER_READ = {"trust_remote_code", "cache_dir", "local_files_only", "revision", "code_revision", "token"}
"""Arguments about where files come from, which a folder has no say in."""


@dataclass(frozen=True)
class TransformerSettings:
    """Settings that are honoured.

    Attributes:
        max_length: Tokens a text is cut to; None leaves it to tokenizer and transformer.
        lowercase: Whether texts are lowercased first.
    """

    max_length: int | None = None
    lowercase: bool = False


def read_transformer_settings(folder: Path) -> TransformerSettings:
    """Read them from the first file that says something.

    Raises:
        UserError: When a setting would change vectors in a way that is not known here; all such are named.
    """
    for path in (folder / name for name in FILES):
        settings = read_object(path, **OBJECTS) if path.exists() else {}
        if settings:
            refused = list(_unknown(settings))
            if refused:
                raise UserError(f"{path} sets {', '.join(refused)}, which is not known here; choose another model.")
            tokenizer = settings.get("processor_kwargs") or settings.get("tokenizer_args") or {}
            lengths = {"model_max_length": tokenizer, "max_seq_length": settings}
            length = next(
                (found for name, said in lengths.items() if (found := limited(path, name, said.get(name)))), None
            )
            return TransformerSettings(length, bool(settings.get("do_lower_case", False)))
    return TransformerSettings()


def _unknown(settings: dict[str, Any]) -> Iterator[str]:
    """Name what would change vectors and is not honoured."""
    for kind, names in ARGUMENTS:
        for name in names:
            for argument, value in (settings.get(name) or {}).items():
                if argument not in HARMLESS[kind] | NEVER_READ:
                    yield f"{name}.{argument}={value}"
    if settings.get("transformer_task", "feature-extraction") != "feature-extraction":
        yield f"transformer_task={settings['transformer_task']}"
    # Of other media nothing is asked here; as a message a text would pass through a chat template.
    modalities = settings.get("modality_config") or {"text": TEXT}
    if "message" in modalities or modalities.get("text") != TEXT:
        yield f"modality_config={modalities}"
    if settings.get("module_output_name", "token_embeddings") != "token_embeddings":
        yield f"module_output_name={settings['module_output_name']}"
    for part in ("common", "text"):
        if said := (settings.get("processing_kwargs") or {}).get(part):
            yield f"processing_kwargs.{part}={said}"
    known = {"transformer_task", "modality_config", "module_output_name", "processing_kwargs", "unpad_inputs"}
    known |= {"max_seq_length", "do_lower_case", *(name for _, names in ARGUMENTS for name in names)}
    for name, value in settings.items():
        if name not in known and value is not None:
            yield f"{name}={value}"
