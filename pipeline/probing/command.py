"""What `probe.py` does with its configuration: one probe, some models, one dataset -> a folder of findings."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from pipeline.checks import one_of, text, whole_number
from pipeline.data.remarks import remarks
from pipeline.data.source import open_dataset
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.loggers import csv_logger, flat_config, log_tables
from pipeline.evaluation.modes import keys_and_groups
from pipeline.evaluation.report import console_for_tables, drawn_line
from pipeline.evaluation.result_folder import ResultFolder, own_folder, require_place
from pipeline.folder_names import said_overrides
from pipeline.next_step import report_on, say_next
from pipeline.probing.models import open_models, require_alike
from pipeline.probing.outcome import FINDINGS, Outcome, read_findings, summary_table
from pipeline.probing.probe import PROTOCOLS, Probe, Subject
from pipeline.retrieval.negatives import Given, InBatch


def run_probe(config: DictConfig) -> None:
    """Look into models, write what was found, and print the summary and the findings.

    Raises:
        UserError: When the settings, the models or the dataset cannot be used, or the folder holds something else.
    """
    hydra = HydraConfig.get()
    require_place(config, hydra)
    probe: Probe = instantiate(config.probe)
    require_used(config, probe, hydra.overrides.task)
    subject = _subject(config, probe)
    probe.prepare(subject)
    folder = own_folder(config, hydra, f"probe-{probe.name}", FINDINGS)
    with folder.held():
        folder.rest_on(probe.inputs(subject))
        if folder.finished:
            folder.say(f"{folder.path} is finished; these are its findings.")
        else:
            _found(probe, subject).write(folder.path, _title(probe, subject, folder))
            _log(config, hydra, folder.path, subject.dataset.name)
    _print(folder.path)
    say_next(report_on(folder.path))


def require_used(config: DictConfig, probe: Probe, overrides: Sequence[str]) -> None:
    """Refuse settings on the command line that would change nothing, or what the first paper's are said to be.

    Args:
        config: The composed configuration of `conf/probe.yaml`.
        probe: Names those without a say in what it finds.
        overrides: What the command line gives, as `key=value`.

    Raises:
        UserError: Naming the first.
    """
    idle = {*probe.idle(config.protocol), "negatives.count"}  # which is of training's steps
    if "negatives" in idle or isinstance(instantiate(config.negatives), Given | InBatch):
        idle.add("lexical")
    for key, group in keys_and_groups(overrides):
        if group == "published":
            own = key.removeprefix("published.")
            raise UserError(f"{key} is what the first paper did; to depart from it, and have it said, give {own}=….")
        if any(f"{key.replace('/', '.')}.".startswith(f"{name}.") for name in idle):
            raise UserError(
                f"{key} would change nothing: probe={probe.name} makes no use of it as it is set; leave it out."
            )
    if instantiate(config.logger, _partial_=True).func is csv_logger:
        raise UserError("logger=csv is of training's curves; a probe's tables lie as CSV files in its folder anyway.")


def _found(probe: Probe, subject: Subject) -> Outcome:
    """Find out, and say beside it what is to be known of the models and of the dataset."""
    found = probe.run(subject)
    further = [
        *_drawn(subject),
        *_noted(subject),
        *_not_normalised(probe, subject),
        *remarks(subject.dataset, subject.split),
    ]
    return replace(found, findings=[*found.findings, *further])


def _not_normalised(probe: Probe, subject: Subject) -> list[str]:
    """Say of which models states should have length 1 in every layer, where no layer's states are read."""
    asked = [] if probe.reads_layers else [name for name, model in subject.models.items() if model.normalise]
    return [f"{name}: normalise=true changed nothing: probe={probe.name} reads no layer's states." for name in asked]


def _drawn(subject: Subject) -> list[str]:
    """Say of which models weights were drawn at random."""
    drawn = {name: model.encoder.drawn for name, model in subject.models.items() if model.encoder.drawn}
    return [f"{name}: {drawn_line(words)}" for name, words in drawn.items()]


def _noted(subject: Subject) -> list[str]:
    """Say how the models make vectors, where that was not named, or is not their own."""
    return [f"{name}: {note}" for name, model in subject.models.items() for note in model.encoder.notes]


def _title(probe: Probe, subject: Subject, folder: ResultFolder) -> str:
    """Say what is looked into, as what, and what else this command chose: probes of a sweep are told apart by it."""
    models = [name if model.source == name else f"{name} = {model.source}" for name, model in subject.models.items()]
    said = said_overrides(folder.overrides, ("probe", "models", "dataset", "split"), folder.settings)
    chosen = ", ".join(f"{key}={value}" for key, value in said.items())
    where = f"on {subject.dataset.label}, {subject.split.name}"
    return f"{probe.name}: {', '.join(models)} {where}" + (f" ({chosen})" if chosen else "")


def _log(config: DictConfig, hydra: Any, folder: Path, dataset: str) -> None:
    """Send tables and pictures to the logger."""
    make_logger = instantiate(config.logger, _partial_=True)
    settings: Any = OmegaConf.to_container(config, resolve=True)
    sweep = Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None
    log_tables(make_logger(folder, folder.name, flat_config(settings, hydra.runtime.choices, dataset), sweep), folder)


def _print(folder: Path) -> None:
    """Print what a finished folder holds: the summary and the findings."""
    console = console_for_tables()
    title, findings = read_findings(folder)
    console.print(summary_table(folder, title))
    for finding in findings:
        console.print(Text(f"• {finding}"), soft_wrap=True)
    console.print(Text(f"Written to {folder} ({FINDINGS}, CSV files, plots)."), soft_wrap=True)


def _subject(config: DictConfig, probe: Probe) -> Subject:
    """Put together what is looked into."""
    one_of("protocol", config.protocol, PROTOCOLS)
    whole_number("seed", config.seed, least=0)
    negatives, lexical, encoding = (instantiate(config[part]) for part in ("negatives", "lexical", "encoding"))
    models = open_models(config.models, config.trust_remote_code)
    if probe.needs_pair:
        if len(models) < 2:
            raise UserError(f"probe={probe.name} compares models; give two or more, the base first.")
        require_alike(models, probe.name)
    dataset = open_dataset(instantiate(config.dataset), Path(text("tables", config.tables)))
    return Subject(
        models,
        dataset,
        dataset.split(config.split),
        negatives,
        lexical,
        encoding,
        Path(config.tables),
        config.protocol,
        config.seed,
        departures(config),
    )


def departures(config: DictConfig) -> list[str]:
    """Name the settings that are not those of the first paper, where its procedure was asked for.

    Args:
        config: Its `published` lists the paper's, under the names that the settings have in it.
    """
    found: list[str] = []

    def compare(paper: Any, ours: Any, name: str) -> None:
        if isinstance(paper, dict) and isinstance(ours, dict):
            for key in paper.keys() & ours.keys():  # another kind of probe or dataset has not all of them
                compare(paper[key], ours[key], f"{name}.{key}" if name else key)
        elif paper != ours:
            found.append(f"{name}={json.dumps(ours)} (the paper: {json.dumps(paper)})")

    settings: Any = OmegaConf.to_container(config, resolve=True)
    compare(settings.get("published", {}), settings, "")
    return sorted(found)
