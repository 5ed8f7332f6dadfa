"""A run's settings, laid flat: what makes two runs the same but for their seed, and what tells others apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.choices import choice_of
from pipeline.folder_names import ELSEWHERE, UNNAMED

UNSAID = {"stage.weights": "best"}
"""What older folders do not say, because it was never otherwise."""
OF_TRAINING = ("trainer", "negatives")
"""Settings that a run without training has no use for."""
LAST_RESORT = ("_target_", "name")
"""Ends of keys that tell runs apart only where nothing more telling does."""


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Lay settings flat: `{"stage": {"name": "dpr"}}` becomes `{"stage.name": "dpr"}`."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = _written(value)
    return found


def identity(config: Mapping[str, Any], without: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Give what two runs share that differ in their seed only.

    Args:
        config: What `config.yaml` holds.
        without: Further keys that may differ; a group stands for all that is in it.
    """
    left_out = (*ELSEWHERE, *without, *(OF_TRAINING if is_untrained(config) else ()))
    return tuple(
        (key, value)
        for key, value in sorted(flat(config).items())
        if key.split(".")[-1] != "seed"
        and UNSAID.get(key) != value
        and not any(key == name or key.startswith(f"{name}.") for name in left_out)
    )


def chosen(config: Mapping[str, Any], key: str) -> str:
    """Give the value of a setting, and of a group the choice that was made of it.

    Returns:
        An empty string where there is no such setting.
    """
    value: Any = config
    for part in key.replace("@", ".").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        made = str(value.get("_target_", "")).rpartition(".")[2].lower()
        return str(value.get("name") or choice_of(key.partition("@")[0], value) or made)
    return _written(value)


def telling_columns(configs: Sequence[Mapping[str, Any]], overrides: Sequence[Mapping[str, str]]) -> list[str]:
    """Choose the fewest settings that tell runs apart: first what command lines varied, then whatever else differs.

    Args:
        configs: What each run's `config.yaml` holds.
        overrides: What each run's command line chose.
    """
    given = dict.fromkeys(key for one in overrides for key in one if varies(key))
    columns = [key for key in given if len({setting(*run, key) for run in zip(configs, overrides, strict=True)}) > 1]
    laid = [dict(identity(config)) for config in configs]
    keys = sorted({key for one in laid for key in one}, key=lambda key: (key.split(".")[-1] in LAST_RESORT, key))
    for key in keys:
        alike: dict[tuple[str, ...], set[str]] = {}
        different: dict[tuple[str, ...], set[tuple[tuple[str, str], ...]]] = {}
        for config, override, one in zip(configs, overrides, laid, strict=True):
            place = tuple(setting(config, override, column) for column in columns)
            alike.setdefault(place, set()).add(one.get(key, ""))
            different.setdefault(place, set()).add(tuple(one.items()))
        if all(len(runs) == 1 for runs in different.values()):
            break
        if any(len(values) > 1 for values in alike.values()):
            columns.append(key)
    return columns


def setting(config: Mapping[str, Any], overrides: Mapping[str, str], key: str) -> str:
    """Give a setting as the command line wrote it, or else as the configuration has it."""
    if is_untrained(config) and key.split(".")[0] in OF_TRAINING:
        return ""
    written = overrides.get(key, "")
    value = written if written and "${" not in written else chosen(config, key)
    return folder_name(value) if key.endswith("path") else value


def is_untrained(config: Mapping[str, Any]) -> bool:
    """Whether nothing is trained in a run."""
    stage = config.get("stage")
    return isinstance(stage, Mapping) and stage.get("name") == "zero_shot"


def folder_name(path: str) -> str:
    """Name a model folder by the run that it belongs to."""
    parts = [part for part in path.split("/") if part not in ("", "model")]
    return parts[-1] if parts else path


def rank(value: str) -> tuple[bool, float, str]:
    """Rank numbers as numbers, before words."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value


def _written(value: Any) -> str:
    """Write a value as a command line does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return "" if value is None else str(value)


def varies(key: str, *, seeds: bool = False) -> bool:
    """Whether runs whose command lines differ in a setting may come out unlike; of seeds only where asked for."""
    return key.split(".")[0] not in (*UNNAMED, *(() if seeds else ("seed",)))
