"""Training steps a second: 32 queries, 32 positives and 32 hard negatives, beside sentence-transformers' trainer."""

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from datasets import Dataset as Columns
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from benchmarks.timing import print_rates
from pipeline.data.dataset import Dataset
from pipeline.data.python_docs import PythonDocs
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import MiniLM
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder
from pipeline.encoders.pooling import Mean
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.devices import quiet_libraries
from pipeline.training.examples import labelled
from pipeline.training.module import ContrastiveModule, dropout
from pipeline.training.objectives import Contrastive
from pipeline.training.schedule import Schedule

BATCH, STEPS, UNTIMED, ROUNDS, LENGTH = 32, 10, 2, 3, 256


class Clock:
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *arguments: object, **named: object) -> None:
        """Note the time, in sentence-transformers' trainer."""
        self.ends.append(time.perf_counter())

    def on_train_batch_end(self, *arguments: object, **named: object) -> None:
        """Note the time, in Lightning's."""
        self.ends.append(time.perf_counter())

    def steps(self) -> list[float]:
        """Seconds of every step but the first few."""
        return list(np.diff(self.ends[UNTIMED - 1 :]))


class LightningClock(Clock, pl.Callback):
    """In Lightning's trainer."""


class TransformersClock(Clock, TrainerCallback):
    """In sentence-transformers' trainer."""


def ours(dataset: Dataset, precision: str, probability: float | None = None) -> list[float]:
    """Train our module for a few steps."""
    dual_encoder = build_dual_encoder(MiniLM(), Mean(), Shared(), EncoderSettings(max_length=LENGTH))
    split = dataset.split("train")
    negatives = np.random.default_rng(0).integers(len(split.documents), size=(len(split.queries), 1))
    examples = labelled(dataset, split, negatives, 1)
    batches = ContrastiveBatches(examples, BATCH, seed=0).between(0, STEPS + UNTIMED)
    schedule = Schedule(2e-5, 2, "linear", 100)
    module = ContrastiveModule(dual_encoder, examples, Contrastive(0.05, "row"), schedule, 0.01, seed=0)
    clock = LightningClock()
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=precision,  # type: ignore[arg-type]
        max_steps=STEPS + UNTIMED,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )
    with dropout(dual_encoder, probability):
        trainer.fit(module, DataLoader(batches, batch_size=None))
    return clock.steps()


def theirs(dataset: Dataset, model: Path, bf16: bool) -> list[float]:
    """Train sentence-transformers' own module for as many steps on the same pairs."""
    split = dataset.split("train")
    generator = np.random.default_rng(0)
    rows = generator.permutation(len(split.queries))[: BATCH * (STEPS + UNTIMED)]
    columns = {
        "anchor": split.queries.take(rows),
        "positive": split.documents.take(rows),
        "negative": split.documents.take(generator.integers(len(split.documents), size=len(rows))),
    }
    encoder = SentenceTransformer(str(model), device="cpu")
    encoder.max_seq_length = LENGTH
    clock = TransformersClock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            max_steps=STEPS + UNTIMED,
            bf16=bf16,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
        )
        loss = MultipleNegativesRankingLoss(encoder, scale=20.0)
        trainer = SentenceTransformerTrainer(
            encoder, arguments, train_dataset=Columns.from_dict(columns), loss=loss, callbacks=[clock]
        )
        trainer.train()
    return clock.steps()


def main() -> None:
    """Time every way in turn, several rounds, and print both sides."""
    quiet_libraries()
    warnings.filterwarnings("ignore")
    dataset = open_dataset(PythonDocs(), Path("outputs/tables"))
    folder = MiniLM().folder("document")
    ways: dict[str, Callable[[], list[float]]] = {
        "ours, as configured (bf16, no dropout)": lambda: ours(dataset, "bf16-mixed", 0.0),
        "ours, bf16": lambda: ours(dataset, "bf16-mixed"),
        "ours, float32": lambda: ours(dataset, "32-true"),
        "sentence-transformers, bf16": lambda: theirs(dataset, folder, bf16=True),
        "sentence-transformers, float32 (its default)": lambda: theirs(dataset, folder, bf16=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name] += way()
    for way in ("ours, as configured (bf16, no dropout)", "ours, bf16", "ours, float32"):
        print_rates(f"Training, beside {way}", seconds, 1, "steps", way)


if __name__ == "__main__":
    main()
