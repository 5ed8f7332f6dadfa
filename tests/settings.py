"""Takes each setting of a composed configuration, changes it, and looks whether anything becomes of that."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.errors import UserError
from pipeline.evaluation.results import SystemResult
from tests.test_train import TOPICS

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
    "lexical.method": "robertson",
    "lexical.stemmer": None,
    "lexical.stopwords": None,
    "probe.batch_size": 8,
    "probe.neurons": 1,
    "probe.share": 1.0,
    "probe.threshold": 0.9,
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

SHARED_REASONS = {
    "folder": "where the run goes",
    "tables": "where what runs share goes",
    "dataset.name": "what results call it",
    "dataset.remove_self_hits": "of queries that are documents",
    "dataset.validation_share": "of train_path without validation_path, as its comment says",
    "encoding.token_budget": "how fast encoding is, and what memory it takes",
    "encoding.window": "how fast encoding is, and what memory it takes",
    "index.fp16": "of GPUs, as its comment says; refused beside index.device=cpu",
    "index.shard": "of GPUs, as its comment says; refused beside index.device=cpu",
}
"""Settings of more than one command whose change leaves all figures of tiny cells as they are."""


def write_rows(path: Path) -> None:
    """Write questions with titled answers, wrong answers and ids."""
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
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


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


def said(find: Callable[[], Any]) -> str:
    """Write down what is found, or the sentence that it is refused with."""
    try:
        return json.dumps(find(), default=str)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        return f"refused: {error}"


def figures_of(system: SystemResult) -> list[Any]:
    """Give all that is known of a system: its rankings, its scores by query, and what stands beside them."""
    rankings = [np.asarray(part).tolist() for part in vars(system.run).values()]
    return [rankings, system.scores.per_query, system.details]


def ignored(config: DictConfig, keys: Iterable[str], outcome: Callable[[DictConfig, str], str]) -> list[str]:
    """Give those settings whose change changes nothing.

    Args:
        config: The configuration; with it nothing is refused.
        keys: Of settings.
        outcome: Gives all that anybody would read of a configuration, in which the setting named was changed.
    """
    before = outcome(config, "")
    assert not before.startswith("refused"), before
    return [key for key in keys if outcome(changed(config, key), key) == before]
