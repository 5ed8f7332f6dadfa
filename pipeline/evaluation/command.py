"""What `evaluate.py` does with its configuration: models on a dataset, or run files against judgements."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.checks import text, truth, whole_number
from pipeline.errors import UserError
from pipeline.evaluation.cells import cells_table, read_cells, rows_of, write_cells
from pipeline.evaluation.latency import Latencies
from pipeline.evaluation.measures import parse_measures
from pipeline.evaluation.on_parts import evaluate_parts, parts_of
from pipeline.evaluation.report import console_for_tables, print_metrics, require_letters
from pipeline.evaluation.result_folder import ResultFolder, own_folder
from pipeline.evaluation.results import LATENCY, METRICS, Prepared, Results, write_results
from pipeline.evaluation.significance import compare, require_test
from pipeline.files import read_json
from pipeline.next_step import report_on, say_next


def evaluate(config: DictConfig) -> dict[str, Any]:
    """Score, compare, write the results and print their table.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: When the settings or the files that they name cannot be used.
    """
    if config.sweep is not None:
        if config.models or config.run_files or config.latency or config.folder is not None:
            raise UserError("sweep=FOLDER tabulates finished runs and takes no models, run files, latency or folder.")
        return tabulate_sweep(Path(text("sweep", config.sweep)))
    _check(config)
    folder = own_folder(config, HydraConfig.get(), "evaluate")
    if parts := parts_of(config):
        evaluate_parts(config, parts, folder, _evaluated)
        metrics = read_json(folder.path / METRICS)
        print_metrics(metrics)
        print(f"Written to {folder.path}.")
        return metrics
    metrics = _evaluated(config, folder)
    print(f"Written to {folder.path}.")
    say_next(report_on(folder.path))
    return metrics


def _evaluated(config: DictConfig, folder: ResultFolder) -> dict[str, Any]:
    """Score, compare, write the results into a folder and print their table; give what `metrics.json` holds."""
    prepared = _prepared(config)
    with folder.held():
        folder.rest_on(prepared.inputs)
        if folder.finished:
            folder.say(f"{folder.path} is finished; this is its table.")
        else:
            _write(config, _scored(config, prepared), folder.path)
    metrics = read_json(folder.path / METRICS)
    print_metrics(metrics, latency=Latencies.read(folder.path / LATENCY, prepared.encoders) if config.latency else None)
    return metrics


def _scored(config: DictConfig, prepared: Prepared) -> Results:
    """Score the systems, and compare them where there are two."""
    results = prepared.score()
    if len(results.systems) == 1:
        return results
    scores = {name: system.scores for name, system in results.systems.items()}
    return replace(results, significance=compare(scores, config.test, config.baseline, config.level))


def _write(config: DictConfig, results: Results, folder: Path) -> None:
    write_results(results, folder, plotted=_plotted(config, results), with_runs=bool(config.models))


def tabulate_sweep(folder: Path) -> dict[str, Any]:
    """Print the cells of a sweep beside each other, and write them to `cells.csv` in its folder.

    Returns:
        `cells`: the rows.

    Raises:
        UserError: When the folder has no finished cell.
    """
    rows = rows_of(read_cells(folder))
    write_cells(rows, folder / "cells.csv")
    console_for_tables().print(cells_table(rows, f"{folder} ({len(rows)} cells)"))
    say_next(report_on(folder))
    return {"cells": rows}


def _prepared(config: DictConfig) -> Prepared:
    if config.run_files:
        from pipeline.evaluation.on_run_files import prepare_run_files

        return prepare_run_files(config)
    from pipeline.evaluation.on_dataset import prepare_models  # late: run files need neither torch nor an index

    return prepare_models(config)


def _check(config: DictConfig) -> None:
    """Refuse settings that cannot be meant, before anything is read."""
    if config.baseline is not None:
        config.baseline = str(config.baseline)  # a system may be named by a number, as of 1.trec
    for setting in ("models", "run_files", "measures", "hybrid_weights"):
        if not OmegaConf.is_list(config[setting]):
            raise UserError(f"{setting}={config[setting]} must be a list; write {setting}=[{config[setting]}].")
    if config.run_columns is not None and not OmegaConf.is_list(config.run_columns):
        raise UserError(f"run_columns={config.run_columns} must be a list, such as [query,document,rank].")
    if bool(config.models) == bool(config.run_files):
        raise UserError("Give either models=[…] with a dataset, or run_files=[…] with qrels=…, or sweep=FOLDER alone.")
    if config.run_files and config.qrels is None:
        raise UserError("run_files needs judgements; give them as qrels=FILE.")
    if config.run_files:
        text("qrels", config.qrels)
        for path in config.run_files:
            text("run_files", path)
    truth("trust_remote_code", config.trust_remote_code)
    truth("latency", config.latency)
    if config.latency and config.run_files:
        raise UserError("latency=true times encoders, and run files have none; give models=[…], or leave it out.")
    require_letters(len(config.run_files))
    parse_measures(config.measures)
    whole_number("relevant_from", config.relevant_from)
    require_test(config.test, config.level)


def _plotted(config: DictConfig, results: Results) -> tuple[str, str] | None:
    """Choose two systems whose queries are worth a picture: the first two, or the baseline and the first other."""
    names = [name for name, system in results.systems.items() if "lexical_weight" not in system.details]
    if len(config.models) > 1:
        names.remove("bm25")  # two models are compared with each other
    if config.baseline is not None:
        names = [config.baseline, *(name for name in names if name != config.baseline)]
    return (names[0], names[1]) if len(names) > 1 else None
