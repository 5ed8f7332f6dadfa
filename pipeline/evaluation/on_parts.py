"""A root of several collections, such as BEIR's CQADupStack: each is evaluated by itself, and the root gets their mean."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.data.beir import Beir, collections_in
from pipeline.data.source import open_dataset
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.result_folder import ResultFolder
from pipeline.evaluation.results import METRICS
from pipeline.files import digest_of, write_csv, write_json


def parts_of(config: DictConfig) -> list[Path]:
    """Give the folders of the collections that a configuration's dataset is a root of; none where it is one itself.

    Raises:
        UserError: When something is asked for that only one collection can give.
    """
    source: Any = instantiate(config.dataset) if config.models else None
    parts = collections_in(Path(source.path).expanduser()) if isinstance(source, Beir) and source.path else []
    if parts and config.latency:
        raise UserError(
            f"latency=true times encoders once, and dataset.path={source.path} holds {len(parts)} collections."
        )
    return parts


def evaluate_parts(
    config: DictConfig,
    parts: Sequence[Path],
    folder: ResultFolder,
    evaluate_one: Callable[[DictConfig, ResultFolder], dict[str, Any]],
) -> None:
    """Evaluate each collection in a folder of its own within the root's, and write their mean into the root's.

    Args:
        config: The configuration, whose dataset is the root.
        parts: The folders of the collections.
        folder: Where the mean goes.
        evaluate_one: Evaluates a collection; gives what its `metrics.json` holds.

    Raises:
        UserError: When a collection cannot be evaluated; whether each has the split is known before any is.
    """
    configs = {part.name: _of_part(config, part, folder.path) for part in parts}
    for of_part in configs.values():
        open_dataset(instantiate(of_part.dataset), Path(config.tables)).split(config.split)
    metrics = {name: evaluate_one(each, ResultFolder(each, folder.overrides)) for name, each in configs.items()}
    with folder.held():
        folder.rest_on({f"collection {name}": digest_of(found) for name, found in metrics.items()})
        if not folder.finished:
            mean = _mean(config, metrics)
            write_csv(folder.path / "results.csv", ["dataset", "split", "system", *mean["measures"]], _rows(mean))
            write_json(folder.path / METRICS, mean)


def _of_part(config: DictConfig, part: Path, folder: Path) -> DictConfig:
    """Turn the configuration of a root into that of one of its collections."""
    name = f"{config.dataset.name}-{part.name}" if config.dataset.name else None
    merged = OmegaConf.merge(config, {"dataset": {"path": str(part), "name": name}, "folder": str(folder / part.name)})
    assert isinstance(merged, DictConfig)
    return merged


def _mean(config: DictConfig, parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Average the figures of collections, each counting the same, in the form of `metrics.json`."""
    first = next(iter(parts.values()))
    systems = {
        name: {
            measure: sum(part["systems"][name][measure] for part in parts.values()) / len(parts)
            for measure in first["measures"]
        }
        for name in first["systems"]
    }
    said = f"Mean of the figures of {len(parts)} collections, each evaluated by itself: {', '.join(parts)}."
    return first | {
        "dataset": config.dataset.name or Path(config.dataset.path).resolve().name,
        "queries": sum(part["queries"] for part in parts.values()),
        "documents": sum(part["documents"] for part in parts.values()),
        "remove_self_hits": any(part["remove_self_hits"] for part in parts.values()),
        "fingerprint": digest_of([part["fingerprint"] for part in parts.values()]),
        "remarks": [said],
        "systems": systems,
        "details": {name: _shared(name, parts) for name in systems},
        "significance": None,
        "parts": {name: part["systems"] for name, part in parts.items()},
    }


def _shared(system: str, parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Give what is to be said of a system in every collection alike."""
    first, *others = (part["details"][system] for part in parts.values())
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _rows(mean: dict[str, Any]) -> list[list[Any]]:
    """Lay out the figures of every collection, and their mean last."""
    everything = {**mean["parts"], mean["dataset"]: mean["systems"]}
    return [
        [dataset, mean["split"], system, *(f"{figures[measure]:.6f}" for measure in mean["measures"])]
        for dataset, systems in everything.items()
        for system, figures in systems.items()
    ]
