"""One pre-training: its texts, its model, its steps, and what is said of it afterwards."""

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader

from pipeline.data.dataset import Dataset
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.saving import whole_folder
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.evaluation.results import METRICS
from pipeline.files import digest_of, write_json
from pipeline.progress import progress
from pipeline.training.checkpoint import Checkpoints, own_weights
from pipeline.training.course import History
from pipeline.training.module import dropout
from pipeline.training.parts import parts_of, write_curves
from pipeline.training.pretraining.batches import MaskedBatches
from pipeline.training.pretraining.course import Pace, PretrainingCourse
from pipeline.training.pretraining.head import start_from_frequencies, with_head
from pipeline.training.pretraining.held_out import HeldOut
from pipeline.training.pretraining.masking import Masking
from pipeline.training.pretraining.module import MaskedLanguageModule
from pipeline.training.pretraining.plot import plot_pretraining
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.pretraining.texts import Division, divide
from pipeline.training.pretraining.tokens import Tokens
from pipeline.training.pretraining.unigram import unigram_log_probabilities
from pipeline.training.schedule import Schedule

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Bench:
    """What a pre-training works with.

    Attributes:
        dataset: Whose documents are the text.
        backbone: Where the weights come from.
        tower: Built of that backbone; its transformer is trained in place, and saved with its pooling.
        trainer: Makes a Lightning trainer of its remaining arguments.
        trainer_settings: Those of the configuration that decide what comes out.
        max_steps: Steps of the whole training.
        encoding: How texts are encoded for the anisotropy.
        say: Tells the user where the run stands.
        store: What runs share.
        seed: Fixes everything that is drawn.
        rank: This process's place among `ranks`.
        ranks: Processes that train together.
    """

    dataset: Dataset
    backbone: Backbone
    tower: TransformerTower
    trainer: Callable[..., pl.Trainer]
    trainer_settings: dict[str, Any]
    max_steps: int
    encoding: EncodingSettings
    say: Callable[[str], None]
    store: Path
    seed: int
    rank: int = 0
    ranks: int = 1


class Pretraining:
    """A masked-language-model run that may be made, or found made.

    Args:
        stage: Its settings.
        bench: What it works with.

    Raises:
        UserError: When the backbone has no masked-language-model head, or the dataset no such split.
    """

    def __init__(self, stage: MaskedLanguageModelling, bench: Bench) -> None:
        self.stage, self.bench = stage, bench
        for split in (stage.split, stage.held_out_split):
            if split is not None:
                bench.dataset.split(split)
        self.headed = with_head(bench.tower, bench.backbone, bench.seed)
        self.timings: dict[str, float] = {}
        """How long this process trained; empty where all steps had been taken before."""

    def key(self) -> str:
        """Fingerprint everything that determines what comes out."""
        weights = hashlib.sha256()
        for name, value in own_weights(self.headed.model).items():
            weights.update(f"{name} {tuple(value.shape)}".encode())
            weights.update(value.numpy().tobytes())
        splits = {
            name: self.bench.dataset.split(name) for name in (self.stage.split, self.stage.held_out_split) if name
        }
        return digest_of(
            {
                "weights": weights.hexdigest(),
                "tower": self.bench.tower.fingerprint("document"),
                "texts": {name: split.documents.fingerprint for name, split in splits.items()},
                "stage": self.stage.decides(),
                "trainer": self.bench.trainer_settings,
                "steps": self.bench.max_steps,
                "seed": self.bench.seed,
            }
        )

    @cached_property
    def division(self) -> Division:
        """Which texts are trained on, and which measured on.

        Raises:
            UserError: When there are too few of either.
        """
        return divide(self.bench.dataset, self.stage, self.bench.tower.title_separator)

    @cached_property
    def batches(self) -> MaskedBatches:
        """What every step trains on."""
        bench = self.bench
        batches = MaskedBatches(self._tokens, bench.tower.tokenizer, self._masking, self.stage.batch_size, bench.seed)
        return batches.between(0, bench.max_steps, bench.rank, bench.ranks)

    @cached_property
    def held_out(self) -> HeldOut:
        """What the model is measured on."""
        bench = self.bench
        tokenizer, texts = bench.tower.tokenizer, self.division.held_out
        return HeldOut(texts, tokenizer, self._masking, self._log_probabilities, bench.encoding, bench.seed)

    def train(self, folder: Path, logger: Logger | None) -> dict[str, Any]:
        """Train from the latest checkpoint, or from the start; the tower's transformer is trained in place.

        Args:
            folder: Where checkpoints go.
            logger: Where curves go beside.

        Returns:
            What the run folder says about it.
        """
        checkpoints = Checkpoints(folder / CHECKPOINT)
        state = checkpoints.state()
        history = History(**state["history"]) if state else History()
        first_step = state["step"] if state else 0
        if state:
            checkpoints.load_weights(self.headed.model)
        elif self.headed.fresh:
            self._begin_head()
        if first_step < self.bench.max_steps:
            self._fit(checkpoints, history, first_step, logger)
        return self._summary(history)

    def save(self, folder: Path, card: str) -> None:
        """Save the tower as a sentence-transformers folder, its transformer with the head as BERT's checkpoints have it.

        So a further pre-training goes on with the head, and everybody else ignores it.
        """
        with whole_folder(folder) as beside, quiet_transformers():
            self.bench.tower.write(beside, card)
            self.headed.model.save_pretrained(beside)

    def finish(self, folder: Path, trained: dict[str, Any], card: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
        """Save the model, write curves, plots and, last, `metrics.json`; remove the checkpoints.

        Args:
            folder: Where everything goes.
            trained: What `train` returned.
            card: Writes the model's card from the metrics.

        Returns:
            What `metrics.json` holds.
        """
        metrics = self._metrics(trained)
        parts = parts_of(trained)
        plot_pretraining(parts, trained["pretraining"]["unigram_entropy"], folder / "plots" / "curves")
        write_curves(parts, folder / "curves.csv")
        self.save(folder / "model", card(metrics))
        write_json(folder / "timings.json", {"pretraining": self.timings})
        write_json(folder / METRICS, metrics)
        shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        return metrics

    @cached_property
    def _tokens(self) -> Tokens:
        tower = self.bench.tower
        return Tokens.open(self.division.trained, tower.title_separator, tower.tokenizer, self.bench.store)

    @cached_property
    def _ordinary_ids(self) -> np.ndarray:
        tokenizer = self.bench.tower.tokenizer
        return np.setdiff1d(np.arange(tokenizer.size), tokenizer.special_ids)

    @cached_property
    def _log_probabilities(self) -> np.ndarray:
        vocabulary = max(self.bench.tower.tokenizer.size, self.headed.model.config.vocab_size)
        return unigram_log_probabilities(self._tokens.counts(vocabulary), self._ordinary_ids)

    @property
    def _masking(self) -> Masking:
        tokenizer = self.bench.tower.tokenizer
        return Masking(self.stage.mask_share, self.stage.whole_words, tokenizer.mask_id, self._ordinary_ids)

    def _begin_head(self) -> None:
        start_from_frequencies(self.headed.model, self._log_probabilities[: self.headed.model.config.vocab_size])
        if self.bench.backbone.init == "pretrained":
            self.bench.say(
                f"backbone={self.bench.backbone.name} has no masked-LM head, so one is made anew: its output embeddings "
                "are the input embeddings, its bias the frequencies of the text's tokens."
            )

    def _fit(self, checkpoints: Checkpoints, history: History, first_step: int, logger: Logger | None) -> None:
        stage, bench = self.stage, self.bench
        schedule = Schedule(stage.learning_rate, stage.warmup_steps, stage.decay, bench.max_steps)
        module = MaskedLanguageModule(self.headed.model, schedule, stage.weight_decay, bench.seed)
        pace = Pace(bench.max_steps, stage.validate_every, stage.checkpoint_every)
        batches = self.batches.between(first_step, bench.max_steps, bench.rank, bench.ranks)
        total = batches.tokens_until(bench.max_steps) - batches.tokens_until(first_step)
        began = time.monotonic()
        with progress("Pre-training", total, "tokens") as advance, dropout(self.headed.model, stage.dropout):
            trainer = bench.trainer(
                max_steps=bench.max_steps - first_step,
                max_epochs=1,
                callbacks=[PretrainingCourse(pace, history, checkpoints, self.held_out, advance)],
                logger=logger or False,
                default_root_dir=checkpoints.folder,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            trainer.fit(module, DataLoader(batches, batch_size=None))
        self.headed.model.eval()
        seconds = time.monotonic() - began
        self.timings = {"seconds": seconds, "tokens_per_second": total / seconds}
        if not bench.rank:
            bench.say(f"Trained on {total:,} tokens, {total / seconds:,.0f} a second with all measurements.")

    def _summary(self, history: History) -> dict[str, Any]:
        """Measure once more, token by token, and put the record together."""
        bench, held_out = self.bench, self.held_out
        measured = held_out.measure(self.headed.model, torch.device("cpu"))
        before, after = history.validations[0], measured.row()
        record = {
            "base": f"{bench.backbone.name}, {bench.backbone.init}",
            "texts": bench.dataset.name,
            "trained_texts": len(self.division.trained),
            "held_out_texts": len(held_out.texts),
            "masked_tokens": len(measured.losses),
            "steps": bench.max_steps,
            "tokens": self.batches.tokens_until(bench.max_steps),
            "new_head": self.headed.fresh,
            "whole_words": self.stage.whole_words,
            "loss_before": before["held_out_loss"],
            "loss": after["held_out_loss"],
            "unigram_entropy": held_out.unigram_entropy,
            "gain": asdict(held_out.gain(measured.losses)),
            "learned": held_out.learned(measured.losses),
            "accuracy_before": before["held_out_accuracy"],
            "accuracy": after["held_out_accuracy"],
            "anisotropy_before": before["anisotropy"],
            "anisotropy": after["anisotropy"],
        }
        return {
            "stage": self.stage.name,
            "steps": bench.max_steps,
            "loss": history.losses[-1]["loss"],
            "pretraining": record,
            "curves": {"loss": history.losses, "validation": history.validations},
        }

    def _metrics(self, trained: dict[str, Any]) -> dict[str, Any]:
        """Put `metrics.json` together in the form of every run folder, without a system that retrieves."""
        dataset = self.bench.dataset
        split = dataset.split(self.stage.split)
        return {
            "dataset": dataset.name,
            "split": split.name,
            "queries": 0,
            "documents": len(split.documents),
            "measures": [],
            "relevant_from": dataset.relevant_from,
            "remove_self_hits": dataset.remove_self_hits,
            "fingerprint": dataset.fingerprint,
            "systems": {},
            "details": {},
            "significance": None,
            "training": trained | {"dataset_fingerprint": dataset.fingerprint, "dataset_notes": dataset.notes},
        }
