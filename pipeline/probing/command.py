"""What `probe.py` does with its configuration: one probe, some models, one dataset -> a folder of findings."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from pipeline.checks import one_of, whole_number
from pipeline.data.source import open_dataset
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.loggers import flat_config, log_tables
from pipeline.evaluation.report import console_for_tables
from pipeline.files import atomic_write, digest_of
from pipeline.probing.models import open_models, require_alike
from pipeline.probing.outcome import FINDINGS, Outcome, summary_table
from pipeline.probing.probe import PROTOCOLS, Probe, Subject


def run_probe(config: DictConfig) -> Outcome:
    """Look into models, write what was found, and print the summary and the findings.

    Raises:
        UserError: When the settings, the models or the dataset cannot be used.
    """
    probe: Probe = instantiate(config.probe)
    subject = _subject(config, probe)
    probe.prepare(subject)
    folder = _folder(config, probe)
    outcome = probe.run(subject)
    title = f"{probe.name}: {', '.join(subject.models)} on {subject.dataset.name}, {subject.split.name}"
    with atomic_write(folder / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(config, resolve=True))
    outcome.write(folder, title)
    logger = instantiate(config.logger, _partial_=True)
    settings: Any = OmegaConf.to_container(config, resolve=True)
    log_tables(logger(folder, folder.name, flat_config(settings, HydraConfig.get().runtime.choices), None), folder)
    console = console_for_tables()
    console.print(summary_table(outcome, title))
    for finding in outcome.findings:
        console.print(Text(f"• {finding}"), soft_wrap=True)
    console.print(Text(f"Written to {folder} ({FINDINGS}, CSV files, plots)."), soft_wrap=True)
    return outcome


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
    dataset = open_dataset(instantiate(config.dataset), Path(config.tables))
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


def _folder(config: DictConfig, probe: Probe) -> Path:
    """Decide where the findings go: what is asked for, or a place named by all settings that decide them."""
    if config.folder is not None:
        folder = Path(config.folder)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"folder={folder} is a file; give a folder.")
        if (folder / "metrics.json").exists():
            raise UserError(f"{folder} is the folder of a training or an evaluation; give another folder=….")
        return folder
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    deciding = {key: value for key, value in settings.items() if key not in ("tables", "logger")}
    return Path("outputs") / f"probe-{probe.name}-{digest_of(deciding)[:8]}"
