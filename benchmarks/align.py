"""Steps of alignment a second: document vectors from the table, against encoding the frozen tower's texts in every step.

Both train the same query tower on the same batches; the second is what a user gets from freezing a tower in any
contrastive trainer. Documents are cut to 128 tokens.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import print_rates
from pipeline.data.joined import JoinedVectors
from pipeline.data.python_docs import PythonDocs
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import MiniLM
from pipeline.encoders.building import EncoderSettings, QueryTower, build_dual_encoder, build_tower
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.pooling import Mean
from pipeline.encoders.precision import fast_bfloat16
from pipeline.encoders.query_towers import LayerSubset
from pipeline.encoders.static_query import Static
from pipeline.encoders.static_tower import StaticTower
from pipeline.retrieval.tabulate import tabulate
from pipeline.training.batches import ContrastiveBatches
from pipeline.training.devices import quiet_libraries
from pipeline.training.examples import Examples, labelled
from pipeline.training.module import ContrastiveModule, encode_with_gradient
from pipeline.training.objectives import Contrastive
from pipeline.training.schedule import Schedule

LENGTH = 128
BATCH = 96
DOCUMENTS = 2000
"""Queries, with about as many documents: enough for steps that do not repeat, quickly encoded."""
ROUNDS = 5
STEPS = {"static": 20, "two layers": 2}
"""Steps of the quicker way in a round; the slower does a tenth, and a step at least."""


class Way:
    """One way to align, step by step.

    Args:
        query: The query tower's kind.
        examples: What batches are drawn from.
        table: The document tower's vectors; None: it encodes them in every step, without gradients.
        store: Where a vocabulary's vectors are kept.
    """

    def __init__(
        self, query: QueryTower, examples: Examples, texts: list, table: JoinedVectors | None, store: Path
    ) -> None:
        pair = build_dual_encoder(MiniLM(), Mean(), query, EncoderSettings(max_length=LENGTH), 0, texts, store)
        pair.document.requires_grad_(False)
        if isinstance(pair.query, StaticTower) and table is not None:
            pair.query.sparse = True
        self.encoded = table is None
        self.batches = ContrastiveBatches(examples, BATCH, seed=0)
        schedule = Schedule(2e-5, 2, "constant", 1000)
        self.module = ContrastiveModule(pair, examples, Contrastive(0.05, "row"), schedule, 0.01, seed=0, table=table)
        if table is None:  # as a user would: without dropout, and with the attention that is quick without gradients
            pair.document.eval()
        else:
            self.module.on_fit_start()
        self.optimiser = self.module.configure_optimizers()
        self.step = 0

    def __call__(self, steps: int) -> None:
        """Take some steps."""
        for _ in range(steps):
            batch = self.batches.at(self.step % 10)
            bfloat16 = fast_bfloat16(torch.device("cpu"))
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                queries = self.module._encode("query", batch.queries)
                documents = self._documents(batch.documents)
            loss = self.module.objective.loss(
                queries.float(), documents.float(), torch.as_tensor(batch.targets), torch.as_tensor(batch.masked)
            )
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.step += 1

    def _documents(self, positions: np.ndarray) -> torch.Tensor:
        if not self.encoded:
            return self.module._documents(positions)
        tower = self.module.dual_encoder.document
        with torch.no_grad():
            texts = self.module.examples.documents.take(positions)
            return encode_with_gradient(tower, texts, "document", torch.device("cpu"))


def main() -> None:
    """Measure both ways for both query towers, turn by turn."""
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        dataset = open_dataset(PythonDocs(name="python_docs", limit=DOCUMENTS), store)
        split = dataset.split("train")
        examples, texts = labelled(dataset, split), [split.documents, split.queries]
        tower = build_tower(MiniLM(), Mean(), EncoderSettings(max_length=LENGTH), "document", 0)
        settings = EncodingSettings(precision="auto")
        table = JoinedVectors([tabulate(tower, split.documents, "document", settings, store, "documents").vectors])
        for name, query in (("static", Static("through_tower", "idf")), ("two layers", LayerSubset("first 2"))):
            vectors = {"table": table, "re-encoding": None}
            _compare(name, {way: Way(query, examples, texts, of_way, store) for way, of_way in vectors.items()})


def _compare(name: str, ways: dict[str, Way]) -> None:
    steps = {"table": STEPS[name], "re-encoding": max(1, STEPS[name] // 10)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS + 1):
        for way, take in ways.items():
            start = time.perf_counter()
            take(steps[way])
            if turn:  # the first does not count
                seconds[way].append((time.perf_counter() - start) / steps[way])
    print_rates(f"Alignment, {name}, batches of {BATCH}", seconds, 1, "steps", "table")


if __name__ == "__main__":
    main()
