"""The pair that a run started from, trained by sentence-transformers' own trainer: the peer of `joint` and `daft`.

`python -m benchmarks.router outputs/rivals/joint` takes towers, dataset, steps and batch size from that run's
configuration, and writes rankings to `outputs/rivals_router/`, for `evaluate.py run_files=[…] qrels=…`.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from datasets import Dataset as Columns
from omegaconf import DictConfig, OmegaConf
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesRankingLoss

from pipeline.data.dataset import Dataset, Split
from pipeline.data.source import open_dataset
from pipeline.encoders.building import build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.precision import fast_bfloat16
from pipeline.encoders.static_tower import StaticTower
from pipeline.entry import instantiate
from pipeline.evaluation.scoring import DEPTH
from pipeline.files import atomic_write
from pipeline.retrieval.run import Run
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex
from pipeline.retrieval.trec import write_trec
from pipeline.training.devices import quiet_libraries
from pipeline.training.examples import labelled

RATES = {"default": {}, "rates": {r"sub_modules\.query\.": StaticTower.learning_rate}}
"""The trainer's own learning rate for all weights, and our rate for the query side."""


def main() -> None:
    """Train the pair once with each choice of learning rates, and retrieve."""
    quiet_libraries()
    warnings.filterwarnings("ignore")
    folder = Path(sys.argv[1])
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    dataset = open_dataset(instantiate(config.dataset), Path(config.tables))
    split = dataset.split(config.evaluation.split)
    out = folder.parent.with_name(f"{folder.parent.name}_router")
    with atomic_write(out / "qrels.txt") as file:
        for query, grades in split.judgements.items():
            file.writelines(f"{query} 0 {document} {grade}\n" for document, grade in grades.items())
    pair = untrained(config, dataset)
    for name, rates in RATES.items():
        with tempfile.TemporaryDirectory() as place:
            pair.save(Path(place) / "model", "")
            model = SentenceTransformer(str(Path(place) / "model"), device="cpu")
        train(model, dataset, config, rates)
        write_trec(retrieve(model, split, f"router_{name}"), out / "runs" / f"router_{name}.trec")
        print(f"Written to {out / 'runs' / f'router_{name}.trec'}.")


def untrained(config: DictConfig, dataset: Dataset) -> DualEncoder:
    """Build the towers that a run started from."""
    split = dataset.split("train")
    backbone, pooling, query, encoder = (
        instantiate(config[name]) for name in ("backbone", "pooling", "query", "encoder")
    )
    texts = [split.documents, split.queries]
    return build_dual_encoder(backbone, pooling, query, encoder, config.seed, texts, Path(config.tables))


def train(model: SentenceTransformer, dataset: Dataset, config: DictConfig, rates: dict[str, float]) -> None:
    """Train for as many steps as the run folder's configuration says, on the same pairs."""
    split, size, steps = dataset.split("train"), config.stage.batch_size, config.trainer.max_steps
    positives = labelled(dataset, split).positives
    generator = np.random.default_rng(0)
    usable = np.flatnonzero([len(found) for found in positives])
    rows = np.concatenate([generator.permutation(usable) for _ in range(-(-size * steps // len(usable)))])[
        : size * steps
    ]
    columns = {
        "anchor": split.queries.take(rows),
        "positive": split.documents.take(np.array([generator.choice(positives[row]) for row in rows])),
    }
    with tempfile.TemporaryDirectory() as place:
        arguments = SentenceTransformerTrainingArguments(
            place,
            per_device_train_batch_size=size,
            max_steps=steps,
            bf16=fast_bfloat16(model.device),
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            router_mapping={"anchor": "query", "positive": "document"},
            learning_rate_mapping=rates,
        )
        loss = MultipleNegativesRankingLoss(model, scale=20.0)
        SentenceTransformerTrainer(model, arguments, train_dataset=Columns.from_dict(columns), loss=loss).train()


def retrieve(model: SentenceTransformer, split: Split, name: str) -> Run:
    """Search the split exactly with the model's vectors."""
    documents = model.encode_document(split.documents.take(slice(None)), convert_to_numpy=True)
    queries = model.encode_query(split.queries.take(slice(None)), convert_to_numpy=True)
    index = TorchIndex(device="cpu")
    index.build(Table.from_array(np.float32(documents)))
    hits = index.search(np.float32(queries), min(DEPTH, len(split.documents)), split.documents.precedence)
    return Run.from_hits(name, split.queries.ids(), split.documents, hits)


if __name__ == "__main__":
    main()
