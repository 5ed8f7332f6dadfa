"""Models as a user names them on the command line: folders of several kinds, or backbones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from omegaconf import OmegaConf

from pipeline.encoders.backbones import Kind
from pipeline.encoders.building import Twin, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.folders import holds_model
from pipeline.entry import CONFIGS, instantiate
from pipeline.errors import UserError, nearest
from pipeline.evaluation.names import HYBRID, RESERVED, distinct_names, require_once
from pipeline.folder_names import said_overrides

SETTINGS = ("backbone", "pooling", "query", "encoder", "seed")
"""Parts of `train.py`'s configuration that an untrained model is made of."""


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
        if self.folder is None:
            return self.name == self.backbone
        return self.name in self.folder.absolute().parts

    @property
    def source(self) -> str:
        """What it is: its folder, or what `train.py` would be told."""
        return str(self.folder or " ".join([f"backbone={self.backbone}", *_words(self.settings)]))

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
        if OmegaConf.is_missing(config.backbone, "path"):
            raise UserError(
                f"models: {self.backbone} needs the folder of a model; write {{model: {self.backbone}, settings: {{backbone:"
                " {path: FOLDER}}} in its place."
            )
        if trust_remote_code and "trust_remote_code" in config.backbone:
            config.backbone.trust_remote_code = True
        backbone, pooling, query, encoder = (
            instantiate(config[part]) for part in ("backbone", "pooling", "query", "encoder")
        )
        if side is not None and isinstance(query, Twin):
            tower = build_tower(backbone, pooling, encoder, side, config.seed)
            return DualEncoder(tower, tower)
        return build_dual_encoder(backbone, pooling, query, encoder, config.seed)


def find_models(entries: Sequence[str | Mapping[str, Any]]) -> list[NamedModel]:
    """Find what the user means by each entry.

    Args:
        entries: Run folders, their `model` folders, sentence-transformers folders, or names of `conf/backbone`; with
            `*` in it, all folders that match. Or `{model: …, settings: …}`: such a name, and what `train.py` would be told
            beside it, such as `{backbone: {path: FOLDER}}`.

    Raises:
        UserError: When an entry is none of these.
    """
    named = [pair for entry in entries for pair in _named(entry)]
    found = [(*_find(entry), settings) for entry, settings in named]
    require_once([folder.absolute() for folder, _, _ in found if folder is not None])
    for (entry, settings), (_, backbone, _) in zip(named, found, strict=True):
        if settings and backbone is None:
            raise UserError(
                f"models: {entry} is a folder, which is taken as it was saved; leave its settings out, or write"
                f" {{model: local, settings: {{backbone: {{path: {entry}}}, …}}}}."
            )
    names = distinct_names([_path_for_name(*one) for one in found], RESERVED, ("{}", HYBRID))
    return [NamedModel(name, *one) for name, one in zip(names, found, strict=True)]


def checked_settings(where: str, settings: Any) -> dict[str, Any]:
    """Give what `train.py` would be told beside a backbone's name.

    Args:
        where: The entry, for the sentence.
        settings: What the user wrote.

    Raises:
        UserError: When it is no mapping, or a part of it would change nothing of a model.
    """
    if not isinstance(settings, dict):
        raise UserError(f"{where}.settings must be what train.py would be told, such as {{backbone: {{layers: 3}}}}.")
    for key in settings:
        if key not in SETTINGS:
            raise UserError(
                f"{where}.settings.{key} would change nothing of a model; settings are of {', '.join(SETTINGS)}."
            )
    return settings


def _named(entry: str | Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Read one entry: a name or a pattern alone, or a name with settings."""
    if not isinstance(entry, Mapping):
        return [(path, {}) for path in _matching(str(entry))]
    fields: Any = OmegaConf.to_container(OmegaConf.create(dict(entry)), resolve=True)
    if not fields.keys() <= {"model", "settings"} or not isinstance(fields.get("model"), str):
        raise UserError(
            f"models: {_said(fields)} must be a folder, a backbone's name, or {{model: NAME, settings: {{backbone: {{path:"
            " FOLDER}}}; side, pooling and normalise are of probe.py."
        )
    return [(fields["model"], checked_settings(f"models: {fields['model']}", fields.get("settings", {})))]


def _said(fields: Mapping[str, Any]) -> str:
    """Write fields as a command line does."""
    return f"{{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}"


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
    if (path / "model").is_dir() and not holds_model(path):
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


def _path_for_name(folder: Path | None, backbone: str | None, settings: Mapping[str, Any]) -> Path:
    """Give what names a model: its folder, or its backbone's, with what else was said of it.

    The model of a run folder is named by the run, not by the word `model` that all of them have.
    """
    if folder is not None:
        return _of_run(folder.absolute())
    own = dict(settings.get("backbone", {}))
    path = own.pop("path", None)
    place = _of_run(Path(path)) if path else Path(str(backbone))
    said = said_overrides(_words({**settings, "backbone": own}))
    return place.with_name("_".join([place.name, *(f"{key}-{value}" for key, value in said.items())]))


def _of_run(folder: Path) -> Path:
    return folder.parent if folder.name == "model" else folder
