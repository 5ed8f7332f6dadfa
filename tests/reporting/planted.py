"""Folders as runs, evaluations and probes leave them, made by hand in milliseconds."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

QUERIES = 40


def scores_of(seed: int, level: float, count: int = QUERIES) -> np.ndarray:
    """One value for each query, around a level."""
    return np.clip(np.random.default_rng(seed).normal(level, 0.15, count), 0, 1).round(6)


def plant_run(
    folder: Path,
    *,
    init: str = "pretrained",
    seed: int = 0,
    steps: int = 10,
    systems: dict[str, np.ndarray] | None = None,
    dataset: str = "toy",
    texts: list[str] | None = None,
    measure: str = "ndcg@10",
    target: str = "pipeline.encoders.backbones.Bert",
    training: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write a finished run folder with given scores by query."""
    systems = systems or {"bm25": scores_of(1, 0.3), "zero_shot": scores_of(2, 0.4), "dense": scores_of(3 + seed, 0.5)}
    config = {
        "backbone": {"_target_": target, "name": "bert", "path": "bert", "layers": 2, "init": init, "freeze": []},
        "stage": {"name": "dpr"},
        "trainer": {"max_steps": steps},
        "dataset": {"_target_": "pipeline.data.jsonl.Jsonl", "name": dataset},
        "seed": seed,
        "folder": str(folder),
        **settings,
    }
    overrides = [f"backbone.init={init}", f"seed={seed}", f"trainer.max_steps={steps}"]
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    trained = {"steps": steps, "collapsed": False, "collapsed_steps": [], **(training or {})}
    plant_scores(folder, systems, dataset, texts, measure, trained)
    return folder


def plant_scores(
    folder: Path,
    systems: dict[str, np.ndarray],
    dataset: str = "toy",
    texts: list[str] | None = None,
    measure: str = "ndcg@10",
    training: dict[str, Any] | None = None,
) -> None:
    """Write `metrics.json` and `per_query.csv`; without a training, those of an evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(systems.values())))
    texts = texts or [f"query {number}" for number in range(count)]
    with open(folder / "per_query.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["query_id", "query", "system", measure])
        for system, values in systems.items():
            writer.writerows([f"q{number}", texts[number], system, value] for number, value in enumerate(values))
    metrics = {
        "dataset": dataset,
        "split": "test",
        "queries": count,
        "documents": 100,
        "measures": [measure],
        "relevant_from": 1,
        "remove_self_hits": False,
        "fingerprint": dataset,
        "systems": {system: {measure: float(values.mean())} for system, values in systems.items()},
        "details": {},
        "training": training or {},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))


def plant_grid(folder: Path, texts: list[str] | None = None) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Write pre-trained and random runs of two seeds, and return their scores by init and seed."""
    planted = {}
    for init, before, after in (("pretrained", 0.4, 0.6), ("random", 0.1, 0.2)):
        for seed in (0, 1):
            number = seed + 10 * (init == "random")
            systems = {"bm25": scores_of(99, 0.3)}
            systems |= {"zero_shot": scores_of(number + 100, before), "dense": scores_of(number + 200, after)}
            plant_run(folder / f"{init}-{seed}", init=init, seed=seed, systems=systems, texts=texts)
            planted[init, seed] = systems
    return planted


def plant_probe(folder: Path, png: bytes) -> Path:
    """Write a finished probe folder with one picture."""
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "layers.png").write_bytes(png)
    (folder / "summary.csv").write_text("layer,accuracy\n0,0.5\n1,0.75\n")
    (folder / "findings.md").write_text("# linear: base on toy\n\n- Layer 1 is above layer 0 by +0.25 [0.1, 0.4].\n")
    return folder
