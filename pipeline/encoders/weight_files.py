"""Files of weights: safetensors as they are, pickles through torch's weights-only loader, which runs nothing of them."""

import pickletools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.encoders.folders import PICKLED, check_safetensors, pickled_weights
from pipeline.errors import UserError
from pipeline.files import digest_of_file, disk_errors, locked, read_json, write_json
from pipeline.store import shared_folder

LETTERS_OF_A_REASON = 200


def read_weights(folder: Path, stem: str = "model") -> dict[str, Tensor]:
    """Read the one file of weights in a folder, that of a module or of an adapter.

    Args:
        folder: Holds `model.safetensors` or else `pytorch_model.bin`.
        stem: `model`, or `adapter_model` for `adapter_model.safetensors` or else `adapter_model.bin`.

    Returns:
        From name to tensor, on the CPU, each with memory of its own.

    Raises:
        UserError: When there is no such file, it is damaged, or it is a pickle that holds more than tensors.
    """
    pickles = pickled_weights(folder, stem)
    if not pickles:
        check_safetensors(folder / f"{stem}.safetensors")
        return load_file(folder / f"{stem}.safetensors")
    store = shared_folder()
    return _unpickled(pickles[0]) if store is None else load_file(_kept(pickles[0], store))


@contextmanager
def as_safetensors(folder: Path) -> Iterator[Path]:
    """Give a transformers folder whose weights are safetensors: itself, or links to its files beside what was converted.

    An adapter that lies in it is left out, as transformers would put it on by itself.

    Yields:
        A folder of the same name; what is not the given one is gone afterwards.

    Raises:
        UserError: When a pickle is damaged or holds more than tensors.
    """
    pickles = pickled_weights(folder)
    adapter = folder / "adapter_config.json"
    if not pickles and not adapter.exists():
        yield folder
        return
    with TemporaryDirectory() as beside:
        place = Path(beside) / folder.absolute().name  # a model's own code is told from others' by the folder's name
        place.mkdir()
        for path in set(folder.iterdir()) - {adapter}:
            (place / path.name).symlink_to(path.resolve())
        for pickle in pickles:
            _put(pickle, place / _renamed(pickle.name))
        index = folder / f"{PICKLED['model']}.bin.index.json"
        if pickles and index.exists():
            listing = read_json(index)
            listing["weight_map"] = {name: _renamed(file) for name, file in listing["weight_map"].items()}
            write_json(place / "model.safetensors.index.json", listing)
        yield place


def _renamed(file: str) -> str:
    """Name a converted file: `model-00001-of-00002.safetensors` for `pytorch_model-00001-of-00002.bin`."""
    return Path(file).with_suffix(".safetensors").name.replace(PICKLED["model"], "model", 1)


def _put(pickle: Path, path: Path) -> None:
    """Lay a pickle's weights down as safetensors: a link into the store, or a file where there is no store."""
    store = shared_folder()
    if store is None:
        _save(_unpickled(pickle), path)
    else:
        path.symlink_to(_kept(pickle, store))


def _kept(pickle: Path, store: Path) -> Path:
    """Give what a pickle was converted to, converting it only when nobody has.

    It is named by the pickle's bytes, so that a changed file is another one.
    """
    path = store / "weights" / f"{digest_of_file(pickle)}.safetensors"
    with locked(path, f"the safetensors of {pickle}"):
        if not _opens(path):
            _save(_unpickled(pickle), path)
            print(f"Converted {pickle} to safetensors, once for all runs: {path}.", flush=True)
    return path


def _opens(path: Path) -> bool:
    try:
        check_safetensors(path)
    except UserError:
        return False
    return True


def _save(weights: dict[str, Tensor], path: Path) -> None:
    """Write safetensors, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with disk_errors(path):
        try:
            save_file(weights, part, metadata={"format": "pt"})
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Read a pickle of weights without running anything that it names.

    Raises:
        UserError: When the loader refuses it, with the reason, or it holds anything but tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it then refuses
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a spoilt pickle leads the loader into
        raise UserError(f"{path} is not read: {_reason(error)}; take a copy of the model in safetensors.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__} where weights by name are expected; save them alone.")
    strange = next((name for name, value in found.items() if not isinstance(name, str) or not _is_plain(value)), None)
    if strange is not None:
        raise UserError(
            f"{path} holds {strange!r}, a {type(found[strange]).__name__}, where only plain tensors are expected; save the"
            " weights alone."
        )
    seen: set[int] = set()
    return {name: _own(value.detach(), seen) for name, value in found.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor of numbers, and neither a kind of its own nor sparse, quantised or without storage."""
    return (
        type(value) in (Tensor, torch.nn.Parameter)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_nested
        and value.device.type == "cpu"
    )


def _own(value: Tensor, seen: set[int]) -> Tensor:
    """Give a tensor memory of its own: tied weights share theirs, and safetensors can share nothing."""
    place = value.untyped_storage().data_ptr()
    if place in seen:
        return value.clone(memory_format=torch.contiguous_format)
    seen.add(place)
    return value.contiguous()


def _reason(error: Exception) -> str:
    """Say in a few words why the loader refused, and which global it would have had to call."""
    said = str(error)
    if named := re.search(r"GLOBAL (\S+)", said):
        return f"it names {named[1]}, which torch's weights-only loader calls for no file"
    if operand := re.search(r"Unsupported operand (\d+)", said):
        known = {ord(instruction.code): instruction.name for instruction in pickletools.opcodes}.get(int(operand[1]))
        if known is None:
            return "it is no pickle"
        return f"it holds {known}, a pickle's instruction that torch's weights-only loader does not follow"
    if isinstance(error, EOFError):
        return "it is empty or cut short"
    words = re.sub(r"^Weights only load failed\..*?\n\n|In PyTorch 2\.6.*", "", said, flags=re.DOTALL).split()
    return f"{type(error).__name__}: {' '.join(words)[:LETTERS_OF_A_REASON]}"
