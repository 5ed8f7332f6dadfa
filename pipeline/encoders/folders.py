"""Where a checkpoint lies, and whether its folder is whole: everything that can be said before weights are read."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors
from huggingface_hub.utils import httpx
from transformers.utils import logging as transformers_logging

from pipeline.errors import UserError
from pipeline.files import read_json

SECONDS_TO_ANSWER = 10.0
"""How long a model hub may take to answer before it counts as out of reach."""

CONFIGS = ("config.json", "adapter_config.json")
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
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def find_folder(path: str | Path, revision: str | None = None) -> Path:
    """Find a checkpoint: a folder as it is, anything else as the name of a model on the hub.

    Args:
        path: A local folder, that of a run included, or a hub name such as `facebook/contriever`.
        revision: Which version of a hub model; None takes the newest, or what is cached.

    Raises:
        UserError: When there is neither such a folder nor such a model within reach.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"revision={revision} is of a model on the hub, and {path} is a folder; leave it out.")
        # A run folder keeps its encoder in `model/`, and nothing of a model beside it.
        inside = folder / "model"
        return inside if (inside / "config.json").exists() and not (folder / "config.json").exists() else folder
    if folder.exists():
        raise UserError(f"{path} is a file where the folder of a model is expected.")
    if folder.is_absolute() or str(path).startswith((".", "~")) or str(path).count("/") > 1:
        raise UserError(f"There is no folder {path}; check the path of the model.")
    return _from_hub(str(path), revision)


def _from_hub(name: str, revision: str | None) -> Path:
    """Take a hub model from the cache when it is whole there, else fetch it, trying only once."""
    sentence = (
        f"{name} is neither a folder here nor a model that can be fetched ({{}}); "
        "give the folder of a downloaded copy, as in backbone.path=FOLDER."
    )
    try:
        cached = Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True))
        if any((cached / name).exists() for name in CONFIGS) and any(cached.glob("*.safetensors")):
            return cached
    except (OSError, ValueError):
        pass
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise UserError(sentence.format("it is not in the local cache, and HF_HUB_OFFLINE is set"))
    try:
        # One request that is not retried tells quickly whether there is a hub and whether it has the model.
        listing = huggingface_hub.HfApi().model_info(name, revision=revision, timeout=SECONDS_TO_ANSWER)
        refuse_pickle(name, [sibling.rfilename for sibling in listing.siblings or []])
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise UserError(sentence.format(_reason(error))) from error


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
        UserError: When something is missing or cut short, the weights are pickle, or the model brings its own code.
    """
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} has no config.json, so it is no model folder or only half written; save or copy it again."
        )
    config = read_json(folder / "config.json")
    if "auto_map" in config and not trust_remote_code:
        raise UserError(
            f"{folder} brings its own Python code (auto_map in config.json), which is not run; "
            "if you trust its authors, set backbone.trust_remote_code=true."
        )
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise UserError(
            f"{folder} has no tokenizer (such as tokenizer.json), so it is only half written; save or copy it again."
        )
    _check_weights(folder)
    return config


def _check_weights(folder: Path) -> None:
    """Refuse missing, cut short or pickled weights."""
    shards = sorted(folder.glob("model*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        missing = sorted({name for name in read_json(index)["weight_map"].values() if not (folder / name).exists()})
        if missing:
            raise UserError(
                f"{folder} lacks {missing[0]}, which its index names, so it is only half written; copy it again."
            )
    if not shards:
        refuse_pickle(str(folder), [path.name for path in folder.iterdir()])
        raise UserError(f"{folder} has no model.safetensors, so it is only half written; save or copy it again.")
    for shard in shards:
        check_safetensors(shard)


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


def refuse_pickle(where: str, files: list[str]) -> None:
    """Refuse a model whose only weights are pickle, saying how to convert them.

    Raises:
        UserError: When there are pickles and no safetensors.
    """
    names = [Path(name) for name in files]
    pickles = sorted(str(name) for name in names if any(name.match(pattern) for pattern in PICKLES))
    if any(name.suffix == ".safetensors" for name in names):
        return
    if "adapter_model.bin" in pickles:
        raise UserError(
            f"{where} holds the adapter's weights as pickle (adapter_model.bin), which can run code when it is read, and is"
            ' refused; in a copy of the folder, convert it once with `python -c "import torch, safetensors.torch as s;'
            " s.save_file(torch.load('adapter_model.bin', weights_only=True), 'adapter_model.safetensors')\"`"
            " and give that folder."
        )
    if pickles:
        raise UserError(
            f"{where} holds its weights as pickle ({pickles[0]}), which can run code when it is read, and is refused; if you "
            'trust it, convert it once with `python -c "from transformers import AutoModel, AutoTokenizer; '
            f"[C.from_pretrained('{where}').save_pretrained('CONVERTED') for C in (AutoModel, AutoTokenizer)]\"` "
            "(for DPR with its own class instead of AutoModel) and give the folder CONVERTED."
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
