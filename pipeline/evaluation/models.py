"""Models as a user names them on the command line: folders of several kinds, or backbones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra

from pipeline.encoders.backbones import Kind
from pipeline.encoders.building import Twin, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.entry import CONFIGS, instantiate
from pipeline.errors import UserError, nearest
from pipeline.evaluation.names import HYBRID, RESERVED, distinct_names, require_once


@dataclass(frozen=True)
class NamedModel:
    """A model to evaluate.

    Attributes:
        name: What tables call it.
        folder: Where it was saved; None for a backbone as it is downloaded.
        backbone: The backbone's configuration; None for a folder.
        settings: For a backbone, what is said beside its name, in the form of `train.py`'s configuration.
    """

    name: str
    folder: Path | None
    backbone: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keeps_its_name(self) -> bool:
        """Whether its name is that of its folder, or the backbone's, and needs no explanation."""
        return self.folder is None or self.name in self.folder.absolute().parts

    def load(self, trust_remote_code: bool = False, side: Kind | None = None) -> DualEncoder:
        """Open the model.

        Args:
            trust_remote_code: Whether a folder's own code may run.
            side: Which tower serves both sides, where only one is wanted: of DPR's two checkpoints only that one is opened
                then. None: each its own.

        Raises:
            UserError: When it is half-written, unsafe or of an unknown kind.
        """
        if self.folder is not None:
            return DualEncoder.load(self.folder, trust_remote_code=trust_remote_code)
        config = hydra.compose("train", overrides=[f"backbone={self.backbone}", *_words(self.settings)])
        backbone, pooling, query, encoder = (
            instantiate(config[part]) for part in ("backbone", "pooling", "query", "encoder")
        )
        if side is not None and isinstance(query, Twin):
            tower = build_tower(backbone, pooling, encoder, side, config.seed)
            return DualEncoder(tower, tower)
        return build_dual_encoder(backbone, pooling, query, encoder, config.seed)


def find_models(entries: Sequence[str], settings: Mapping[str, Any] | None = None) -> list[NamedModel]:
    """Find what the user means by each entry.

    Args:
        entries: Run folders, their `model` folders, sentence-transformers folders, or names of `conf/backbone`; with
            `*` in it, all folders that match.
        settings: For backbones: what `train.py` would be told beside the name, such as `{backbone: {path: FOLDER}}`.

    Raises:
        UserError: When an entry is none of these.
    """
    entries = [path for entry in entries for path in _matching(str(entry))]
    found = [_find(entry) for entry in entries]
    paths = [_path_for_name(entry, folder) for entry, (folder, _) in zip(entries, found, strict=True)]
    require_once([folder.absolute() for folder, _ in found if folder is not None])
    names = distinct_names(paths, RESERVED, ("{}", HYBRID))
    for entry, (_, backbone) in zip(entries, found, strict=True):
        if settings and backbone is None:
            raise UserError(f"models: {entry} is a folder, which is taken as it was saved; leave its settings out.")
    return [
        NamedModel(name, folder, backbone, settings or {})
        for name, (folder, backbone) in zip(names, found, strict=True)
    ]


def _words(settings: Mapping[str, Any], above: str = "") -> list[str]:
    """Write nested settings as the words of a command line."""
    words: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            words += _words(value, f"{above}{key}.")
        else:
            words.append(f"{above}{key}={json.dumps(value, ensure_ascii=False)}")
    return words


def _matching(entry: str) -> list[str]:
    """Replace an entry with `*` in it by the folders that match."""
    if "*" not in entry:
        return [entry]
    path = Path(entry).expanduser()
    matches = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    found = [str(place) for place in sorted(matches) if place.is_dir()]
    if not found:
        raise UserError(f"models: no folder matches {entry}.")
    return found


def _find(entry: str) -> tuple[Path | None, str | None]:
    path = Path(entry).expanduser()
    if (path / "model").is_dir():
        return path / "model", None
    if (path / "metrics.json").exists() or (path / "checkpoint").is_dir():
        raise UserError(f"{path} is a run folder without a model; run its training to the end, or keep its model.")
    if path.is_dir():
        return path, None
    backbones = [config.stem for config in (CONFIGS / "backbone").glob("*.yaml")]
    if entry in backbones:
        return None, entry
    if len(path.parts) > 1:
        raise UserError(f"models: {entry} does not exist; give a run folder, a model folder or a backbone's name.")
    raise UserError(f"models: {entry} is neither a folder nor a backbone; {nearest(entry, backbones)}")


def _path_for_name(entry: str, folder: Path | None) -> Path:
    """Name the model of a run folder by the run, not by the word `model` that all of them have."""
    if folder is None:
        return Path(entry)
    folder = folder.absolute()
    return folder.parent if folder.name == "model" else folder
