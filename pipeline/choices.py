"""Which file of `conf/` a part of a composed configuration is of, and what was changed of it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pipeline.command_line import word
from pipeline.entry import CONFIGS

MISSING = object()


def choice_of(group: str, settings: Mapping[str, Any]) -> str | None:
    """Name the choice of a group that settings are of: of those that make the same class, the one most like them.

    Args:
        group: A folder of `conf/`.
        settings: Resolved, as a run folder keeps them.

    Returns:
        The file's name without its ending; None where no file makes this class.
    """
    unlike = {
        name: sum(settings.get(key, MISSING) != plain.get(key, MISSING) for key in settings.keys() | plain.keys())
        for name, plain in _choices(group).items()
        if plain.get("_target_") == settings.get("_target_")
    }
    return min(unlike, key=lambda name: unlike[name]) if unlike else None


def words_of(group: str, settings: Mapping[str, Any]) -> list[str]:
    """Write the words of a command line that choose a group's settings again, wherever they came from."""
    choice = choice_of(group, settings)
    if choice is None:
        return []
    plain = _choices(group)[choice]
    changed = {key: value for key, value in settings.items() if key in plain and plain[key] != value}
    return [word(group, choice), *(word(f"{group}.{key}", value) for key, value in changed.items())]


@cache
def _choices(group: str) -> dict[str, Any]:
    files = sorted((CONFIGS / group).glob("*.yaml"))
    return {path.stem: OmegaConf.to_container(_read(path), resolve=True) for path in files}


def _read(path: Path) -> Any:
    """Read a file of a group with what it is made from, which lies beside it."""
    config: Any = OmegaConf.load(path)
    for name in config.pop("defaults", []):
        if isinstance(name, str) and name != "_self_":
            config = OmegaConf.merge(_read(path.with_name(f"{name}.yaml")), config)
    return config
