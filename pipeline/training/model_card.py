"""The model card: what an encoder was trained on, what it measures, how to load it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.evaluation.report import dataset_label

HEADER = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- feature-extraction
- dense-retrieval
---
"""
OWN_LOADER = (
    "The query tower reads only the rarest tokens of a query. sentence-transformers has no module for that, so it refuses "
    "the pair and the query tower by name (`tandem.SelectiveTransformer`); this project opens them, and the document tower "
    "opens in both."
)


def model_card(
    config: dict[str, Any], choices: dict[str, str], metrics: dict[str, Any], folder: Path, dual_encoder: DualEncoder
) -> str:
    """Write the card of a run's encoders.

    Args:
        config: The composed configuration of the run.
        choices: What was chosen in each group of the configuration.
        metrics: The contents of its `metrics.json`; measures may still be missing.
        folder: Where the encoders are saved.
        dual_encoder: The encoders themselves.
    """
    training = metrics.get("training", {})
    sections = [
        HEADER,
        f"# {_title(config, choices)}, {training.get('stage')} on {metrics['dataset']}\n",
        _training(config, choices, metrics, dual_encoder),
        _measures(metrics),
        _usage(folder, dual_encoder),
    ]
    return "\n".join(sections)


def _title(config: dict[str, Any], choices: dict[str, str]) -> str:
    """Name what was trained: the backbone, and of one that is called by where it lies the last part of that."""
    path = config["backbone"].get("path")
    return f"{choices['backbone']} {Path(path).name}" if path else choices["backbone"]


def _training(
    config: dict[str, Any], choices: dict[str, str], metrics: dict[str, Any], dual_encoder: DualEncoder
) -> str:
    stage, training = config["stage"], metrics.get("training", {})
    query, document = dual_encoder.query, dual_encoder.document
    towers = {"": document} if dual_encoder.symmetric else {"query ": query, "document ": document}
    rows = {"base": _said(choices["backbone"], config["backbone"])}
    if record := training.get("pretraining"):
        rows["pre-training"] = (
            f"masked language modelling from {record['base']}, {record['steps']} steps on {record['texts']}"
        )
    if training.get("drawn"):
        rows["drawn at random"] = training["drawn"]
    rows |= {
        "query tower": "the document tower itself"
        if dual_encoder.symmetric
        else _said(choices["query"], config["query"]),
        "pooling": _each(
            {name: tower.description().get("pooling", "none: token vectors") for name, tower in towers.items()}
        ),
        "dimension": str(dual_encoder.dimension),
        "length": _each({name: f"{tower.max_length} tokens" for name, tower in towers.items()}),
        "similarity": dual_encoder.similarity,
        "prompts": f"query `{query.prompts['query']}`, document `{document.prompts['document']}`",
        "title and text": f"joined by `{document.title_separator}`",
        "dataset": f"{metrics['dataset']} ({choices['dataset']}), "
        f"fingerprint `{training.get('dataset_fingerprint', '')[:16]}`",
    }
    if training.get("steps"):
        rows["loss"] = _loss(stage, choices["negatives"])
        if "align" in training:
            rows["alignment"] = _course(stage | stage["align"], training["align"], symmetric=False)
        rows |= {"training": _course(stage, training, dual_encoder.symmetric), "seed": str(config["seed"])}
    return "## Training\n\n| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _said(choice: str, settings: dict[str, Any]) -> str:
    """Name a choice with all that its settings say."""
    parts = [(name, value) for name, value in _flat(settings) if value not in (None, [], choice) and value is not False]
    return ", ".join([choice, *(f"{name} {value}" for name, value in parts)])


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """List settings with those within them; of what makes them, the class of those within alone."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif name != "_target_":
            yield above + name, value
        elif above:
            yield above.rstrip("."), str(value).rsplit(".", 1)[-1]


def _each(values: dict[str, str]) -> str:
    """Say what holds for both towers once."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name}tower {value}" for name, value in values.items())


def _course(stage: dict[str, Any], part: dict[str, Any], symmetric: bool) -> str:
    """Say how long a part was trained, on how much, and at what rates."""
    texts = "queries" if stage.get("texts", ["pairs"]) == ["pairs"] else "texts"
    row, peak = part["curves"]["loss"][0], stage["learning_rate"]
    own = peak * row["query_learning_rate"] / row["learning_rate"]
    if symmetric or math.isclose(own, peak):
        rate = f"learning rate {peak:g}"
    elif _aligns(stage):
        rate = f"learning rate {own:g}"
    else:
        rate = f"learning rate {peak:g}, of the query tower {own:g}"
    return (
        f"{part['steps']} steps of {stage['batch_size']} {texts} out of {part['queries']}, {rate}, "
        f"weights of step {part['kept_step']} ({_which(stage)})"
    )


def _aligns(stage: dict[str, Any]) -> bool:
    """Whether the query tower alone is trained."""
    return "texts" in stage


def _which(stage: dict[str, Any]) -> str:
    """Say which weights were kept."""
    return "the last" if stage["weights"] == "last" else f"best {stage['monitor']} on validation"


def _loss(stage: dict[str, Any], negatives: str) -> str:
    """Say what was minimised, part by part."""
    if "align" in stage:
        rest = {name: value for name, value in stage.items() if name != "align"}
        first, then = _loss(rest | stage["align"], negatives), _loss(rest, negatives)
        return f"first, of the query tower alone, {first}; then, of both towers, {then}"
    texts = f" on {', '.join(stage['texts'])}" if _aligns(stage) else ""
    if stage.get("objective") in ("squared_error", "embedding_divergence"):
        return f"{stage['objective'].replace('_', ' ')} to the document tower's vectors{texts}"
    told_apart = negatives if "pairs" in stage.get("texts", ["pairs"]) else "in_batch"
    whole = ", normalised over the whole batch" if stage["normalisation"] == "global" else ""
    return f"InfoNCE, temperature {stage['temperature']}, negatives {told_apart}{whole}{texts}"


def _measures(metrics: dict[str, Any]) -> str:
    systems = metrics.get("systems")
    if not systems:
        return ""
    names = list(next(iter(systems.values())))
    lines = [f"| system | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {system} | {' | '.join(f'{means[name]:.4f}' for name in names)} |" for system, means in systems.items()
    ]
    title = f"## Measures\n\n{dataset_label(metrics)}, {metrics['split']} split: {metrics['queries']:,} queries, {metrics['documents']:,} documents.\n"
    return "\n".join([title, *lines, ""])


def _usage(folder: Path, dual_encoder: DualEncoder) -> str:
    if getattr(dual_encoder.query, "selection", None):
        load = f"""from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode

encoder = DualEncoder.load("{folder}")
queries = encode(encoder.query, ["…"], "query")
documents = encode(encoder.document, ["…"], "document")"""
        return f"## Use\n\n```python\n{load}\n```\n\n{OWN_LOADER}\n"
    load = f'encoder = SentenceTransformer("{folder}")\nqueries = encoder.encode_query(["…"])\ndocuments = encoder.encode_document(["…"])'
    if not dual_encoder.symmetric:
        alone = f'SentenceTransformer("{folder}/query").encode_query(["…"])'
        load += f"\n\n# The query tower alone, for where searches are answered:\nqueries = {alone}"
    return f"## Use\n\n```python\nfrom sentence_transformers import SentenceTransformer\n\n{load}\n```\n"
