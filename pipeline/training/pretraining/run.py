"""One pre-training: its texts, its model, its steps."""

import hashlib
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader

from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.saving import whole_folder
from pipeline.files import digest_of
from pipeline.progress import progress
from pipeline.training.checkpoint import Checkpoints, own_weights
from pipeline.training.course import History
from pipeline.training.module import dropout
from pipeline.training.pretraining.batches import MaskedBatches
from pipeline.training.pretraining.bench import Bench
from pipeline.training.pretraining.course import Pace, PretrainingCourse
from pipeline.training.pretraining.head import start_from_frequencies, with_head
from pipeline.training.pretraining.held_out import HeldOut
from pipeline.training.pretraining.masking import Masking
from pipeline.training.pretraining.module import MaskedLanguageModule
from pipeline.training.pretraining.results import CHECKPOINT, summary
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.pretraining.texts import Division, divide
from pipeline.training.pretraining.tokens import Tokens
from pipeline.training.pretraining.unigram import unigram_log_probabilities
from pipeline.training.schedule import Schedule


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
        return summary(self, history)

    def save(self, folder: Path, card: str) -> None:
        """Save the tower as a sentence-transformers folder, its transformer with the head as BERT's checkpoints have it.

        So a further pre-training goes on with the head, and everybody else ignores it.
        """
        with whole_folder(folder) as beside, quiet_transformers():
            self.bench.tower.write(beside, card)
            self.headed.model.save_pretrained(beside)

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
