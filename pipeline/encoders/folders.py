"""Where a checkpoint lies, and whether its folder is whole: everything that can be said before weights are read."""

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors
from huggingface_hub.utils import httpx
from transformers.utils import logging as transformers_logging

from pipeline.encoders.modules import KINDS, MODULES, read_modules
from pipeline.errors import UserError
from pipeline.files import read_object

SECONDS_TO_ANSWER = 10.0
"""How long a model hub may take to answer before it counts as out of reach."""

CONFIGS = ("config.json", "adapter_config.json", "modules.json")
HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
)
PICKLED = {"model": "pytorch_model", "adapter_model": "adapter_model"}
"""What a file of weights is called as a pickle (`.bin`), by what it is called as safetensors."""
FOREIGN = ("*.h5", "*.msgpack", "*.ckpt*", "*.pt", "*.pth", "*.onnx", "*.gguf", "*.bin")
"""Weights in forms that are not read."""
WEIGHTY = ("Transformer", "StaticEmbedding", "Dense", "LayerNorm")
"""Modules of sentence-transformers that have weights."""


def find_folder(path: str | Path, revision: str | None = None, trust_remote_code: bool = False) -> Path:
    """Find a checkpoint: a folder as it is, anything else as the name of a model on the hub.

    Args:
        path: A local folder, that of a run included, or a hub name such as `facebook/contriever`.
        revision: Which version of a hub model; None takes the newest, or what is cached.
        trust_remote_code: Whether a hub model's own Python code is fetched with it.

    Raises:
        UserError: When there is neither such a folder nor such a model within reach.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"revision={revision} is of a model on the hub, and {path} is a folder; leave it out.")
        # A run folder keeps its encoder in `model/`, and nothing of a model beside it.
        inside = folder / "model"
        return inside if holds_model(inside) and not holds_model(folder) else folder
    if folder.exists():
        raise UserError(f"{path} is a file where the folder of a model is expected.")
    if folder.is_absolute() or str(path).startswith((".", "~")) or str(path).count("/") > 1:
        raise UserError(f"There is no folder {path}; check the path of the model.")
    return _from_hub(str(path), revision, trust_remote_code)


def holds_model(folder: Path) -> bool:
    """Whether a folder itself has what a model begins with; a run folder has its model below."""
    return any((folder / name).exists() for name in CONFIGS)


def _from_hub(name: str, revision: str | None, trust_remote_code: bool) -> Path:
    """Take a hub model from the cache when it is whole there, else fetch it, trying only once."""
    sentence = (
        f"{name} is neither a folder here nor a model that can be fetched ({{}}); "
        "give the folder of a downloaded copy, as in backbone.path=FOLDER."
    )
    try:
        cached = Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True))
        if _is_whole(cached, trust_remote_code):
            return cached
    except (OSError, ValueError):
        pass
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise UserError(sentence.format("it is not whole in the local cache, and HF_HUB_OFFLINE is set"))
    try:
        # One request that is not retried tells quickly whether there is a hub and whether it has the model.
        listing = huggingface_hub.HfApi().model_info(name, revision=revision, timeout=SECONDS_TO_ANSWER)
        wanted = _wanted(name, [sibling.rfilename for sibling in listing.siblings or []])
        code = ["*.py"] if trust_remote_code else []
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=[*wanted, *code]))
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise UserError(sentence.format(_reason(error))) from error


def _is_whole(snapshot: Path, trust_remote_code: bool) -> bool:
    """Whether a cached snapshot has all that is read of it; it may be of another program, which wanted less."""
    if not holds_model(snapshot):
        return False
    listed = KINDS if (snapshot / MODULES).exists() else ()
    modules = {module for kind in listed for module in read_modules(snapshot, kind)}
    places = [module.folder for module in modules if module.kind in WEIGHTY]
    if not all(_has_weights(place) for place in places or [snapshot]):
        return False
    path = snapshot / "config.json"
    code = read_object(path, auto_map=dict).get("auto_map") if path.exists() else None
    own = any(
        "--" not in str(place) for place in (code or {}).values()
    )  # before -- stands another model, whose code it is
    return not (trust_remote_code and own) or any(snapshot.glob("*.py"))


def _has_weights(folder: Path) -> bool:
    """Whether a folder has the weights of a model, a module or an adapter, every shard of them."""
    for index in folder.glob("*.index.json"):
        if (folder / index.name.removesuffix(".index.json")).exists():
            continue  # one whole file counts before it
        if any(not (folder / name).exists() for name in _files_of(index)):
            return False
    return any(_safetensors(folder, stem) or pickled_weights(folder, stem) for stem in PICKLED)


def _wanted(name: str, files: list[str]) -> list[str]:
    """Choose what to fetch of a hub model: pickles only where no safetensors lie beside them.

    Raises:
        UserError: When it has no weights that can be read.
    """
    paths = [Path(file) for file in files]
    pickles = []
    for stem, pickled in PICKLED.items():
        safe = {path.parent for path in paths if _is_of(path, stem, "safetensors")}
        pickles += [path for path in paths if _is_of(path, pickled, "bin") and path.parent not in safe]
    if not pickles and not any(path.suffix == ".safetensors" for path in paths):
        refuse_foreign(name, files)
    return HUB_FILES + [str(path) for path in pickles]


def _is_of(path: Path, stem: str, suffix: str) -> bool:
    """Whether a file is the whole or a shard of the weights of that name, and no variant such as `model.fp16`."""
    return re.fullmatch(rf"{stem}(-\d+-of-\d+)?\.{suffix}", path.name) is not None


def _safetensors(folder: Path, stem: str = "model") -> list[Path]:
    return sorted(path for path in folder.glob("*.safetensors") if _is_of(path, stem, "safetensors"))


def _reason(error: BaseException) -> str:
    """Say in a few words why a hub did not answer."""
    if getattr(error, "response", None) is not None:
        return f"the model hub answers {error.response.status_code}"  # type: ignore[attr-defined]
    return f"the model hub is out of reach: {type(error).__name__}"


def package_folder(package: str, subfolder: str, install: str) -> Path:
    """Find a folder inside an installed package without importing the package.

    Args:
        package: The package's import name.
        subfolder: The folder within it; empty for the package itself.
        install: The command that installs it, for the message.

    Raises:
        UserError: When the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The package {package} is not installed; install it with `{install}`.")
    return Path(spec.submodule_search_locations[0]) / subfolder


def checked_config(folder: Path, trust_remote_code: bool) -> dict[str, Any]:
    """Read a transformers folder's config after checking that the folder is whole and safe to load.

    Raises:
        UserError: When something is missing or cut short, or the model brings its own code.
    """
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} has no config.json, so it is no model folder or only half written; save or copy it again."
        )
    config = read_object(folder / "config.json", auto_map=dict)
    if "auto_map" in config and not trust_remote_code:
        raise UserError(
            f"{folder} brings its own Python code (auto_map in config.json), which is not run; "
            "if you trust its authors, set backbone.trust_remote_code=true."
        )
    if quantization := config.get("quantization_config"):
        method = (
            quantization.get("quant_method", "an unnamed method") if isinstance(quantization, dict) else quantization
        )
        raise UserError(
            f"{folder} holds weights quantised by {method} (quantization_config in config.json), which are not read here; "
            "take the model in full precision."
        )
    if not has_tokenizer(folder):
        raise UserError(
            f"{folder} has no tokenizer (such as tokenizer.json), so it is only half written; save or copy it again."
        )
    _check_weights(folder)
    return config


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return any((folder / name).exists() for name in TOKENIZER_FILES)


def _check_weights(folder: Path) -> None:
    """Refuse weights that are missing or cut short; what a pickle holds is found out when it is read.

    One whole file counts before an index beside it, as for transformers.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    shards = [whole] if whole.exists() else _require_shards(index)
    if not shards and _safetensors(folder):
        raise UserError(f"{folder} lacks {index.name}, which says what its shards hold; copy it again.")
    if not shards and not pickled_weights(folder):
        names = sorted(path.name for path in folder.iterdir())
        _refuse_variant(folder, names)
        refuse_foreign(str(folder), names)
        raise UserError(f"{folder} has no model.safetensors, so it is only half written; save or copy it again.")
    for shard in shards:
        check_safetensors(shard)


def _refuse_variant(folder: Path, names: list[str]) -> None:
    """Name a variant (`model.fp16.safetensors`) that lies where the weights proper do not."""
    found = next((name for name in names if re.fullmatch(r"(pytorch_)?model\.[\w-]+\.(safetensors|bin)", name)), None)
    if found:
        proper = f"{found.split('.')[0]}{Path(found).suffix}"
        raise UserError(
            f"{folder} has {found}, a variant, but no {proper}; copy that too, or give the variant its name."
        )


def pickled_weights(folder: Path, stem: str = "model") -> list[Path]:
    """List the pickles that a folder's weights are in: none where there are safetensors, which are read then.

    Args:
        folder: Of a model, a module or an adapter.
        stem: `model` or `adapter_model`: what safetensors would be called.

    Raises:
        UserError: When one of several is missing.
    """
    if _safetensors(folder, stem):
        return []
    whole = folder / f"{PICKLED[stem]}.bin"
    if whole.exists():
        return [whole]
    return _require_shards(folder / f"{PICKLED[stem]}.bin.index.json")


def _require_shards(index: Path) -> list[Path]:
    """List the files that an index names, none where there is no index, and refuse a folder that lacks one of them."""
    if not index.exists():
        return []
    files = [index.parent / name for name in _files_of(index)]
    missing = next((file.name for file in files if not file.exists()), None)
    if missing:
        raise UserError(
            f"{index.parent} lacks {missing}, which its index names, so it is only half written; copy it again."
        )
    return files


def _files_of(index: Path) -> list[str]:
    """List the files that an index names."""
    return sorted({str(name) for name in (read_object(index, weight_map=dict).get("weight_map") or {}).values()})


def check_safetensors(path: Path) -> None:
    """Refuse a file of weights that is missing or cut short.

    Raises:
        UserError: Naming the file.
    """
    if not path.exists():
        raise UserError(f"{path} is missing, so its folder is only half written; save or copy it again.")
    try:
        with safetensors.safe_open(path, framework="pt"):
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); save or copy it again.") from error


def refuse_foreign(where: str, files: list[str]) -> None:
    """Refuse a model whose only weights are in a form that is not read, naming one.

    Raises:
        UserError: When there is such a file.
    """
    found = sorted(file for file in files if any(Path(file).match(pattern) for pattern in FOREIGN))
    if found:
        raise UserError(
            f"{where} holds {found[0]}, but no weights that are read here; those are model.safetensors and"
            " pytorch_model.bin (of an adapter, adapter_model), so take a copy of the model with one of them."
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the library's progress bars and load reports off the terminal; what matters in them is raised as errors."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    advisory = os.environ.get("TRANSFORMERS_NO_ADVISORY_WARNINGS")
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if advisory is None:
            del os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"]
