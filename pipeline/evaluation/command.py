"""What `evaluate.py` does with its configuration: models on a dataset, or run files against judgements."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.checks import number, one_of, whole_number
from pipeline.data.source import open_dataset
from pipeline.encoders.encoding import EncodingSettings
from pipeline.entry import instantiate
from pipeline.errors import UserError, nearest
from pipeline.evaluation.measures import measure, parse_measures
from pipeline.evaluation.models import NamedModel, distinct_names, find_models
from pipeline.evaluation.report import print_metrics
from pipeline.evaluation.results import Results, SystemResult, write_results
from pipeline.evaluation.scoring import Retriever
from pipeline.evaluation.significance import TEST_NAMES, Significance, compare
from pipeline.files import digest_of
from pipeline.retrieval.trec import read_qrels, read_trec


def evaluate(config: DictConfig) -> dict[str, Any]:
    """Score, compare, write the results and print their table.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: When the settings or the files that they name cannot be used.
    """
    _check(config)
    results = evaluate_models(config) if config.models else evaluate_run_files(config)
    folder = _folder(config)
    metrics = write_results(results, folder, plotted=_plotted(config, results), with_runs=bool(config.models))
    print_metrics(metrics)
    print(f"Written to {folder}.")
    return metrics


def evaluate_models(config: DictConfig) -> Results:
    """Retrieve with every model, beside one BM25, from a split of a dataset."""
    models = find_models(config.models)
    names = _system_names(models)
    lexical = instantiate(config.lexical)
    _check_baseline(config.baseline, ["bm25", *(name for pair in names for name in pair)])
    for model in models[1:]:
        model.load(config.trust_remote_code)  # whatever is wrong with the last one is said before hours of encoding
    dataset = open_dataset(instantiate(config.dataset), Path(config.tables))
    retriever = Retriever(
        dataset,
        config.split,
        lexical=lexical,
        index=instantiate(config.index),
        encoding=EncodingSettings(**config.encoding),
        store=Path(config.tables),
        measures=list(config.measures),
        k=config.k,
        hybrid_weights=list(config.hybrid_weights),
        hybrid_normalisation=config.hybrid_normalisation,
    )
    systems = retriever.bm25()
    for model, (dense, hybrid) in zip(models, names, strict=True):
        systems |= retriever.encoder(model.load(config.trust_remote_code), dense, hybrid)
    return retriever.results(systems, _compared(config, systems))


def evaluate_run_files(config: DictConfig) -> Results:
    """Score rankings that are already there."""
    paths = [Path(path).expanduser() for path in config.run_files]
    names = distinct_names([path.with_name(path.stem) for path in paths])
    _check_baseline(config.baseline, names)
    judgements = read_qrels(Path(config.qrels))
    runs = [read_trec(path, name) for path, name in zip(paths, names, strict=True)]
    measures = list(config.measures)
    systems = {run.name: SystemResult(run, measure(run, judgements, measures, config.relevant_from)) for run in runs}
    return Results(
        dataset=Path(config.qrels).name,
        split="",
        queries={},
        documents=None,
        relevant_from=config.relevant_from,
        remove_self_hits=False,
        fingerprint=digest_of(judgements),
        systems=systems,
        significance=_compared(config, systems),
    )


def _check(config: DictConfig) -> None:
    """Refuse settings that cannot be meant, before anything is read."""
    if bool(config.models) == bool(config.run_files):
        raise UserError("Give either models=[…] with a dataset, or run_files=[…] with qrels=…, and not both.")
    for setting in ("models", "run_files"):
        if not OmegaConf.is_list(config[setting]):
            raise UserError(f"{setting}={config[setting]} must be a list; write {setting}=[{config[setting]}].")
    if config.run_files and config.qrels is None:
        raise UserError("run_files needs judgements; give them as qrels=FILE.")
    parse_measures(config.measures)
    whole_number("relevant_from", config.relevant_from)
    one_of("test", config.test, TEST_NAMES)
    number("level", config.level, above=True)


def _check_baseline(baseline: str | None, systems: Sequence[str]) -> None:
    if baseline is not None and baseline not in systems:
        raise UserError(f"baseline={baseline} is not among the systems compared; {nearest(baseline, systems)}")


def _system_names(models: Sequence[NamedModel]) -> list[tuple[str, str]]:
    """Name each model's dense and hybrid system; a single model needs no name of its own."""
    if len(models) == 1:
        return [("dense", "hybrid")]
    return [(model.name, f"{model.name}+bm25") for model in models]


def _compared(config: DictConfig, systems: dict[str, SystemResult]) -> Significance | None:
    if len(systems) < 2:
        return None
    scores = {name: system.scores for name, system in systems.items()}
    return compare(scores, config.test, config.baseline, config.level)


def _plotted(config: DictConfig, results: Results) -> tuple[str, str] | None:
    """Choose the two systems whose queries are worth a picture: the first two, hybrids aside, or baseline and first."""
    names = [name for name, system in results.systems.items() if "lexical_weight" not in system.details]
    if config.models and len(config.models) > 1:
        names = [name for name in names if name != "bm25"]
    if config.baseline is not None:
        names = [config.baseline, *(name for name in names if name != config.baseline)]
    return (names[0], names[1]) if len(names) > 1 else None


def _folder(config: DictConfig) -> Path:
    """Decide where the results go."""
    if config.folder is not None:
        return Path(config.folder)
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    return Path("outputs") / f"evaluate-{digest_of({key: settings[key] for key in settings if key != 'tables'})[:8]}"
