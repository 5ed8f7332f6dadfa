"""No setting is accepted and ignored: each, changed, makes a difference or is refused, or stands here with its reason."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.errors import UserError
from pipeline.training.cell import Cell
from tests.cells import Cells
from tests.test_train import TOPICS, tiny_bert  # noqa: F401

CHANGED: dict[str, Any] = {
    "backbone.freeze": ["layer 0"],
    "backbone.init": "random",
    "backbone.layers": 1,
    "dataset.document": "answer",
    "dataset.document_id": "number",
    "dataset.limit": 3,
    "dataset.negative": "nowhere",
    "dataset.query": "question",
    "dataset.query_id": "number",
    "dataset.relevant_from": 2,
    "dataset.test_path": "nowhere.jsonl",
    "dataset.title": None,
    "dataset.train_path": "nowhere.jsonl",
    "dataset.validation_path": "nowhere.jsonl",
    "encoder.document_prompt": "wing",
    "encoder.max_length": 4,
    "encoder.projection": 8,
    "encoder.query_prompt": "wing",
    "encoder.similarity": "dot",
    "encoder.title_separator": " wing ",
    "encoding.device": "cuda:7",
    "encoding.precision": "bfloat16",
    "evaluation.hybrid_depth": 20,
    "evaluation.hybrid_normalisation": "raw",
    "evaluation.hybrid_weights": [0.5],
    "evaluation.k": 2000,
    "evaluation.measures": ["mrr@5"],
    "evaluation.split": "validation",
    "index.build_parameters.efConstruction": 1,
    "index.device": "cuda:7",
    "index.factory": "SQ8",
    "index.search_parameters.efSearch": 1,
    "index.search_parameters.nprobe": 1,
    "lexical.b": 0.0,
    "lexical.method": "atire",
    "lexical.stemmer": None,
    "lexical.stopwords": None,
    "query.init": "random",
    "query.layers": "last 1",
    "query.path": "nowhere",
    "query.weights": "equal",
    "stage.align.monitor": "mrr@10",
    "stage.align.objective": "squared_error",
    "stage.align.texts": ["queries"],
    "stage.decay": "constant",
    "stage.dropout": 0.5,
    "stage.held_out_split": "nowhere",
    "stage.held_out_texts": 5,
    "stage.monitor": "map@100",
    "stage.normalisation": "global",
    "stage.objective": "embedding_divergence",
    "stage.texts": ["documents"],
    "stage.validate_every": 1,
    "stage.validation_documents": 1,
    "stage.validation_queries": 2,
    "stage.weights": "last",
    "trainer.accelerator": "mps",
    "trainer.devices": [0, 1],
    "trainer.gradient_clip_val": 1e-4,
    "trainer.log_every_n_steps": 3,
    "trainer.precision": "bf16-mixed",
    "trainer.strategy": "fsdp",
}
"""Values that mean something else than those of the cells below; others are derived from what stands there."""

LATER = "of runs longer than these: tests of training have it"
REASONS = {
    "folder": "where the run goes",
    "tables": "where what runs share goes",
    "preview": "of sweeps; refused by `run_cell`",
    "threads": "how fast a run is; only last bits depend on it",
    "backbone.name": "what messages call it",
    "backbone.trust_remote_code": "of folders that hold code",
    "dataset.name": "what results call it",
    "dataset.remove_self_hits": "of queries that are documents",
    "dataset.validation_share": "of train_path without validation_path, as its comment says",
    "encoding.token_budget": "how fast encoding is, and what memory it takes",
    "encoding.window": "how fast encoding is, and what memory it takes",
    "index.fp16": "of GPUs, as its comment says",
    "index.shard": "of GPUs, as its comment says",
    "stage.checkpoint_every": "how much a killed run has to do again",
    "stage.patience": LATER,
    "stage.align.patience": LATER,
    "stage.sentences": "where sentences are among the texts, as its comment says",
    "stage.align.sentences": "where sentences are among the texts, as its comment says",
    "trainer.deterministic": "of GPUs: on CPUs all that is used here is deterministic",
}
"""Settings whose change leaves all figures of these cells as they are."""

UNTRAINED = {
    "backbone.freeze": "parts that training leaves as they are",
    "negatives": "what a query is told apart from",
    "seed": "what is drawn: nothing is",
    "trainer": "how training goes",
}
"""Settings without a use where nothing is trained: a sweep has `stage=zero_shot` beside stages that have."""

IDLE = {
    ("stage=align", "query=static", "stage.monitor=ndcg@10"): {
        "stage.dropout": "a look-up has no dropout",
        "stage.weight_decay": "token vectors that are in no text of a step would shrink all the same",
        "trainer.gradient_clip_val": "sparse gradients cannot be clipped, as its comment says",
    },
    ("stage=mse", "query=twin"): {
        "stage.temperature": "of the contrastive objective, beside which a sweep has this one",
        "stage.normalisation": "of the contrastive objective, beside which a sweep has this one",
    },
}
"""Settings without a use in a combination, and with one in others."""

CELLS = {
    "untrained": ["stage=zero_shot", "query=twin"],
    "torch index": ["stage=zero_shot", "index=torch"],
    "graph index": ["stage=zero_shot", "index=faiss_hnsw"],
    "clustered index": ["stage=zero_shot", "index=faiss_ivf", "index.factory='IVF4,Flat'"],
    "trained": ["query=twin"],
    "given negatives": ["negatives=given"],
    "mined negatives": ["negatives=bm25"],
    "static": ["stage=joint", "query=static"],
    "align": ["stage=align", "query=first_k", "query.layers=first 1", "stage.monitor=ndcg@10"],
    "daft": ["stage=daft", "query=miniature", "query.width=64", "query.projection=32"],
    "selective": ["stage=zero_shot", "query=selective"],
    "another": ["stage=zero_shot", "query=local", "query.backbone.path=${backbone.path}"],
    "shared projection": ["stage=zero_shot", "query=shared_projection"],
    "masked": ["stage=mlm", "stage.warmup_steps=1", "stage.batch_size=4", "stage.held_out_share=0.2"],
    "continued": ["stage=zero_shot", "init=continued", "pretraining.max_steps=1"],
}
"""Cells that have every setting of `train.yaml` and of its groups between them."""


@pytest.fixture(scope="module")
def cells(tiny_bert, tmp_path_factory) -> Cells:  # noqa: F811
    """Tiny cells over questions with titled answers, wrong answers and ids."""
    made = Cells(tmp_path_factory.mktemp("cells"))
    rows = [
        {
            "query": f"what {topic}s {number}",
            "question": f"which {topic}",
            "document": f"{topic} number {number} of {TOPICS[number % 5]}",
            "answer": f"{topic} {number}",
            "wrong": [f"{topic} number {number + 1} of {TOPICS[number % 7]}"],
            "title": topic,
            "topic": TOPICS[number % 3],
            "number": f"{topic}{number}",
        }
        for topic in TOPICS
        for number in range(8)
    ]
    (made.place / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    made.common = ["backbone=local", f"backbone.path={tiny_bert}", "backbone.layers=2"]
    made.common += ["dataset.title=title", "dataset.negative=wrong", "encoding.precision=float32"]
    return made


def settings_of(config: DictConfig, above: str = "") -> Iterator[str]:
    """Give every setting; a class is the choice of its group."""
    for name in config:
        key, value = f"{above}{name}", OmegaConf.select(config, str(name))
        if isinstance(value, DictConfig):
            yield from settings_of(value, f"{key}.")
        elif name != "_target_":
            yield key


def changed(config: DictConfig, key: str) -> DictConfig:
    """Give a configuration with one setting changed."""
    before = OmegaConf.select(config, key)
    value = CHANGED.get(key)
    if value is None and key not in CHANGED:
        if isinstance(before, bool):
            value = not before
        elif isinstance(before, int):
            value = before + 1
        else:
            value = before / 2 if isinstance(before, float) else f"{before}x" if isinstance(before, str) else 1
    after = config.copy()
    OmegaConf.update(after, key, value, merge=False)
    return after


def outcome(cells: Cells, config: DictConfig) -> str:
    """Train and score a cell, and write down all that anybody would read of it; or the sentence that it is refused with."""
    try:
        cell = cells.made(config)
        if not isinstance(cell, Cell):
            said: Any = cell.pretraining.train(cell.folder.path, None)
            towers, systems = [cell.pretraining.bench.tower], {}
        else:
            said = cell._training()(None) | {"drawn": cell.drawn, "pretraining": cell.pretraining}
            systems = cell.retriever.bm25() | cell.retriever.encoder(cell.dual_encoder)
            towers = [cell.dual_encoder.query, cell.dual_encoder.document]
    except (UserError, HydraException, OmegaConfBaseException) as error:
        return f"refused: {error}"
    rankings = {
        name: [np.asarray(part).tolist() for part in vars(system.run).values()] for name, system in systems.items()
    }
    scores = {name: [system.scores.per_query, system.details] for name, system in systems.items()}
    weights = [tower.fingerprint("query") for tower in towers]
    return json.dumps([said, rankings, scores, weights], default=str)


@pytest.fixture(scope="module")
def configs(cells) -> dict[str, DictConfig]:
    """The configuration of every cell."""
    return {name: cells.compose(*words) for name, words in CELLS.items()}


def of_its_own(configs: dict[str, DictConfig], name: str) -> list[str]:
    """Give the settings of a cell that no cell before it has; those of masked language modelling are like no others'."""

    def looked_at(one: str) -> set[str]:
        idle = ["logger", "pretraining.stage", *(UNTRAINED if "stage=zero_shot" in CELLS[one] else ())]
        return {
            key for key in settings_of(configs[one]) if not any(f"{key}.".startswith(f"{group}.") for group in idle)
        }

    names = list(CELLS)
    before = set().union(*map(looked_at, names[: names.index(name)]))
    masked = name == "masked"
    return sorted(key for key in looked_at(name) if key not in before or (masked and key.startswith("stage.")))


@pytest.mark.parametrize("name", CELLS)
def test_no_setting_of_training_is_accepted_and_ignored(cells, configs, name):
    before = outcome(cells, configs[name])
    assert not before.startswith("refused"), before
    keys = [key for key in of_its_own(configs, name) if key not in REASONS]
    assert [key for key in keys if outcome(cells, changed(configs[name], key)) == before] == []


def test_reasons_are_of_settings_that_there_are(configs):
    assert REASONS.keys() - {key for config in configs.values() for key in settings_of(config)} == set()


@pytest.mark.parametrize("words", IDLE, ids=" ".join)
def test_what_is_idle_in_a_combination_is_so(cells, words):
    config = cells.compose(*words, "query.init=token_embeddings" if "query=static" in words else "seed=0")
    before = outcome(cells, config)
    assert [key for key in IDLE[words] if outcome(cells, changed(config, key)) != before] == []
