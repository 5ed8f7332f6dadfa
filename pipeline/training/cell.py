"""One cell of the grid: dataset x encoders x stage -> a run folder."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from pipeline.checks import text, whole_number
from pipeline.data.dataset import Dataset
from pipeline.data.remarks import remarks
from pipeline.data.source import open_dataset
from pipeline.data.texts import Texts
from pipeline.encoders.building import build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.pooling import Own
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.cell_record import recorded
from pipeline.evaluation.loggers import flat_config, log_results
from pipeline.evaluation.report import drawn_line, print_folder
from pipeline.evaluation.results import SystemResult, write_evidence
from pipeline.evaluation.scoring import Retriever
from pipeline.evaluation.significance import compare
from pipeline.evaluation.training_words import marks_of
from pipeline.files import atomic_write, digest_of, write_json
from pipeline.next_step import evaluation_of, say_next, training_on
from pipeline.retrieval.index import Index
from pipeline.training.cost import Cost
from pipeline.training.curves_plot import plot_curves
from pipeline.training.devices import process_rank, quiet_libraries, require_devices, use_threads
from pipeline.training.diagnostics_plot import plot_diagnostics
from pipeline.training.model_card import model_card
from pipeline.training.parts import parts_of, write_curves
from pipeline.training.pretraining.cell import PretrainingCell
from pipeline.training.pretraining.on_demand import pretrained
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.run_folder import RunFolder
from pipeline.training.stages import Stage, Training, Workplace
from pipeline.training.trainer import make_trainer
from pipeline.training.transfer import Transfers, transfer_folders
from pipeline.training.validation import best_validation

IDS_AT_ONCE = 65_536


def run_cell(config: DictConfig) -> float | None:
    """Do what is missing of a cell and print its table.

    Args:
        config: The composed configuration of `conf/train.yaml`.

    Returns:
        The best validation, for sweepers that optimise it; None where nothing was trained.

    Raises:
        UserError: When anything about the configuration or the data cannot be meant; nothing has been trained then.
    """
    quiet_libraries()
    use_threads(config.threads)
    if config.preview:
        raise UserError("preview=true is for sweeps; add -m, or look at one run with --cfg job.")
    hydra = HydraConfig.get()
    launcher = hydra.runtime.choices.get("launcher", "local")
    if hydra.mode != RunMode.MULTIRUN and launcher != "local":
        raise UserError(
            f"launcher={launcher} is for sweeps, and this is one run here and now; add -m, or leave it out."
        )
    folder = RunFolder.of_job(config, hydra)
    if process_rank():
        _cell(config, folder).join()
        return None
    with folder.held(), nullcontext() if folder.finished else recorded(folder.path):
        cell = _cell(config, folder)
        folder.rest_on(cell.inputs())
        if folder.finished:
            folder.say(f"{folder.path} is finished; this is its table.")
        else:
            cell.run()
    metrics = print_folder(folder.path)
    for place in transfer_folders(folder.path):
        print_folder(place)
    masked = isinstance(cell, PretrainingCell)
    say_next(training_on(folder.path) if masked else evaluation_of(folder.path, folder.settings, str(config.tables)))
    return best_validation(metrics["training"])


def _cell(config: DictConfig, folder: RunFolder) -> "Cell | PretrainingCell":
    """Put together what retrieves, or what only pre-trains."""
    if HydraConfig.get().runtime.choices.get("init") == "pretrained" and config.backbone.get("init") == "random":
        raise UserError("init=pretrained and backbone.init=random say two things; leave one of them out.")
    pretraining = config.pretraining
    if pretraining is not None and not (OmegaConf.is_dict(pretraining) and "stage" in pretraining):
        raise UserError(f"pretraining={pretraining} says nothing; init=continued fills it.")
    dataset = pretraining.get("dataset") if pretraining is not None else None
    if dataset is not None and not (OmegaConf.is_dict(dataset) and "name" in dataset):
        raise UserError(f"pretraining.dataset={dataset} is no dataset; choose one by dataset@pretraining.dataset=text.")
    stage = instantiate(config.stage)
    if isinstance(stage, MaskedLanguageModelling):
        return PretrainingCell(config, folder, stage, _sweep())
    return Cell(config, folder, stage)


class Cell:
    """The parts that a configuration names, put together.

    Args:
        config: The composed configuration.
        folder: The run folder.
        stage: What is trained.

    Raises:
        UserError: When a part refuses its settings.
    """

    def __init__(self, config: DictConfig, folder: RunFolder, stage: Stage) -> None:
        self.config, self.folder = config, folder
        self.systems: dict[str, SystemResult] = {}
        self.store = Path(text("tables", config.tables))
        self.seed = whole_number("seed", config.seed, least=0)
        self.max_steps = whole_number("trainer.max_steps", config.trainer.max_steps)
        self.stage = stage
        self.negatives = instantiate(config.negatives)
        self.lexical = instantiate(config.lexical)
        self.encoding: EncodingSettings = instantiate(config.encoding)
        self.cost = Cost(folder.path, self.encoding.tally)
        self.index = instantiate(config.index)
        self.trainer = make_trainer(config.trainer)
        settings = instantiate(config.encoder)
        # Called apart from its making: Hydra would build everything that the composed configuration names.
        self.make_logger = instantiate(config.logger, _partial_=True)
        self.ranks = require_devices(config.trainer)
        backbone, pooling, query = (instantiate(config[group]) for group in ("backbone", "pooling", "query"))
        query.require(backbone)
        self.stage.require(query, self.negatives, backbone)
        self.dataset: Dataset = open_dataset(instantiate(config.dataset), self.store)
        self._require_splits()
        self.pretraining: dict[str, Any] | None = None
        """What is said of masked-language-model pre-training that went before."""
        if config.pretraining is not None:
            found = pretrained(config, self.dataset, settings, self.encoding, folder.say)
            backbone, self.pretraining = found.backbone, found.record
        self.dual_encoder: DualEncoder = build_dual_encoder(
            backbone, pooling, query, settings, self.seed, self._training_texts(), self.store, self.encoding
        )
        self.drawn, self.notes = self.dual_encoder.drawn, self.dual_encoder.notes
        if config.pretraining is not None and isinstance(pooling, Own):
            self.notes = [*found.notes, *self.notes]  # what was taken unnamed before is what its folder has saved since
        self.retriever = self._retriever(self.dataset, self.index)
        self.starting_point = {
            "dataset": self.dataset.fingerprint,
            "query tower": self.dual_encoder.query.fingerprint("query"),
            "document tower": self.dual_encoder.document.fingerprint("document"),
        }
        made_from = self.starting_point | {"settings": digest_of(folder.settings)}
        # Each has an index of its own: the run's is saved.
        self.transfers = Transfers(
            config, folder.path, made_from, lambda dataset: self._retriever(dataset, instantiate(config.index))
        )

    @property
    def checkpoints(self) -> Path:
        """Where the training can be resumed from until it is finished."""
        return self.folder.path / "checkpoint"

    def inputs(self) -> dict[str, str]:
        """Fingerprint the data and the weights that the cell starts from, and what else it is scored on."""
        return self.starting_point | self.transfers.fingerprints

    def run(self) -> None:
        """Score what is there, train, save, index and score what came out."""
        training = self._training()
        self._announce()
        self.cost.begin()
        logger = self._logger()
        systems = self.systems = self.retriever.bm25()
        if self.stage.trains:
            self._score("zero_shot")
            self.transfers.score(self.dual_encoder, "zero_shot", self.folder.say)
        trained = training(logger) | {
            "dataset_fingerprint": self.dataset.fingerprint,
            "dataset_notes": self.dataset.notes,
            **({"pretraining": self.pretraining} if self.pretraining else {}),
            **({"drawn": self.drawn} if self.drawn else {}),
        }
        self._save({"dataset": self.dataset.name, "training": trained})
        self.folder.say("Indexing and scoring.")
        systems |= self.retriever.encoder(self.dual_encoder)
        for name in ("dense", "hybrid"):
            systems[name].details.update(marks_of(trained))
        self._save_index()
        self.transfers.score(self.dual_encoder, "dense", self.folder.say)
        self.transfers.write(self.dataset.name, trained, logger)
        self._report(systems, trained, logger)
        # A finished run is never resumed, and the optimisers of a sweep's cells would fill a disk.
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def join(self) -> None:
        """Take part in the training that rank 0 runs."""
        self._training()(None)

    def _training(self) -> Training:
        return self.stage.prepare(
            Workplace(
                dataset=self.dataset,
                dual_encoder=self.dual_encoder,
                negatives=self.negatives,
                lexical=self.lexical,
                trainer=self.trainer,
                max_steps=self.max_steps,
                encoding=self.encoding,
                score=self._score,
                say=self.folder.say,
                count_step=self.cost.step,
                checkpoints=self.checkpoints,
                folder=self.folder.path,
                store=self.store,
                seed=self.seed,
                rank=process_rank(),
                ranks=self.ranks,
            )
        )

    def _score(self, name: str) -> None:
        """Measure the dual encoder as it is now, beside what comes later."""
        if not process_rank():
            self.systems |= self.retriever.encoder(self.dual_encoder, dense=name, hybrid=None)

    def _retriever(self, dataset: Dataset, index: Index) -> Retriever:
        """Make what scores systems on a dataset, and refuse what the dual encoder cannot be scored with."""
        settings = self.config.evaluation
        retriever = Retriever(
            dataset,
            settings.split,
            lexical=self.lexical,
            index=index,
            encoding=self.encoding,
            store=self.store,
            measures=settings.measures,
            k=settings.k,
            hybrid_weights=settings.hybrid_weights,
            hybrid_normalisation=settings.hybrid_normalisation,
            hybrid_depth=settings.hybrid_depth,
        )
        retriever.require(self.dual_encoder)
        return retriever

    def _logger(self) -> Logger | None:
        composed: Any = OmegaConf.to_container(self.config, resolve=True)
        return self.make_logger(
            folder=self.folder.path,
            name=self.folder.path.name,
            config=flat_config(composed, HydraConfig.get().runtime.choices, self.dataset.name),
            sweep=_sweep(),
        )

    def _training_texts(self) -> list[Texts]:
        """Give the texts that say which words are rare: those of the training split, where there is one."""
        if "train" not in self.dataset.splits:
            return []
        split = self.dataset.split("train")
        return [split.documents, split.queries]

    def _require_splits(self) -> None:
        """Refuse a dataset that lacks a split before anything is computed."""
        for name in (self.config.evaluation.split, *self.stage.splits):
            self.dataset.split(name)

    def _announce(self) -> None:
        splits = ", ".join(
            f"{name} {len(split.queries):,} queries over {len(split.documents):,} documents"
            for name, split in self.dataset.splits.items()
        )
        self.folder.say(f"{self.folder.path}: {self.dataset.label}: {splits}.")
        drawn = [drawn_line(self.drawn)] if self.drawn else []
        for remark in [*drawn, *self.notes, *remarks(self.dataset, self.retriever.split)]:
            self.folder.say(remark)

    def _save(self, metrics: dict[str, Any]) -> None:
        """Save the encoders with a card that tells what is known by now."""
        place = self.folder.path / "model"
        self.dual_encoder.save(place, self._card(metrics))

    def _save_index(self) -> None:
        """Write the index, and the ids of its documents in order, one a line."""
        place = self.folder.path / "index"
        self.index.save(place)
        documents = self.retriever.split.documents
        with atomic_write(place / "ids.txt") as file:
            for start in range(0, len(documents), IDS_AT_ONCE):
                file.writelines(f"{id_}\n" for id_ in documents.ids(slice(start, start + IDS_AT_ONCE)))

    def _card(self, metrics: dict[str, Any]) -> str:
        config = OmegaConf.to_container(self.config, resolve=True)
        choices = dict(HydraConfig.get().runtime.choices)
        return model_card(config, choices, metrics, self.folder.path / "model", self.dual_encoder)  # type: ignore[arg-type]

    def _report(self, systems: dict[str, SystemResult], trained: dict[str, Any], logger: Logger | None) -> None:
        """Write figures, rankings and plots, and tell the logger; `metrics.json`, the last, marks the folder as finished."""
        scores = {name: system.scores for name, system in systems.items()}
        results = replace(self.retriever.results(systems, self.notes), significance=compare(scores))
        parts = parts_of(trained)
        if parts:
            plot_curves(parts, trained["monitor"], self.folder.path / "plots" / "curves")
            plot_diagnostics(parts, self.folder.path / "plots" / "diagnostics")
            write_curves(parts, self.folder.path / "curves.csv")
        with atomic_write(self.folder.path / "model" / "README.md") as card:
            card.write(self._card(results.metrics(trained)))
        plotted = ("zero_shot", "dense") if self.stage.trains else ("bm25", "dense")
        metrics = write_evidence(results, self.folder.path, trained, plotted)
        log_results(logger, metrics, self.folder.path)
        self.cost.note()
        self.folder.say(self.cost.sentence())
        write_json(self.folder.metrics, metrics)


def _sweep() -> str | None:
    """Name the sweep that this cell belongs to by its folder, or nothing for a cell alone."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None
