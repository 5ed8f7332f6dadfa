"""The model card: what an encoder was trained on, what it measures, how to load it."""

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
WHOLE_TEXTS = (
    "The query tower reads only the rarest tokens of a query. sentence-transformers has no place for that and encodes all of "
    "them, which gives other vectors than the measures above rest on; `DualEncoder.load` of this project gives the same."
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
        f"# {choices['backbone']}, {training.get('stage')} on {metrics['dataset']}\n",
        _training(config, choices, training, dual_encoder),
        _measures(metrics),
        _usage(folder, dual_encoder),
    ]
    return "\n".join(sections)


def _training(
    config: dict[str, Any], choices: dict[str, str], training: dict[str, Any], dual_encoder: DualEncoder
) -> str:
    stage = config["stage"]
    query, document = dual_encoder.query, dual_encoder.document
    rows = {
        "backbone": f"{choices['backbone']}, init {config['backbone'].get('init', 'pretrained')}",
        "pooling": document.description().get("pooling", "none: token vectors"),
        "similarity": dual_encoder.similarity,
        "prompts": f"query `{query.prompts['query']}`, document `{document.prompts['document']}`",
        "dataset": f"{choices['dataset']}, fingerprint `{training.get('dataset_fingerprint', '')[:16]}`",
    }
    if training.get("steps"):
        rows |= {
            "loss": _loss(stage, choices["negatives"]),
            "training": f"{training['steps']} steps of {stage['batch_size']} queries out of {training['queries']}, "
            f"learning rate {stage['learning_rate']}, weights of step {training['kept_step']} ({_which(stage)})",
            "seed": str(config["seed"]),
        }
    return "## Training\n\n| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _which(stage: dict[str, Any]) -> str:
    """Say which weights were kept."""
    return "the last" if stage["weights"] == "last" else f"best {stage['monitor']} on validation"


def _loss(stage: dict[str, Any], negatives: str) -> str:
    """Say what was minimised, part by part."""
    if "align" in stage:
        rest = {name: value for name, value in stage.items() if name != "align"}
        first, then = _loss(rest | stage["align"], negatives), _loss(rest, negatives)
        return f"first, of the query tower alone, {first}; then, of both towers, {then}"
    texts = f" on {', '.join(stage['texts'])}" if "texts" in stage else ""
    if stage.get("objective") in ("squared_error", "embedding_divergence"):
        return f"{stage['objective'].replace('_', ' ')} to the document tower's vectors{texts}"
    return f"InfoNCE, temperature {stage['temperature']}, negatives {negatives}{texts}"


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
    load = f'encoder = SentenceTransformer("{folder}")\nqueries = encoder.encode_query(["…"])\ndocuments = encoder.encode_document(["…"])'
    if not dual_encoder.symmetric:
        alone = f'SentenceTransformer("{folder}/query").encode_query(["…"])'
        load += f"\n\n# The query tower alone, for where searches are answered:\nqueries = {alone}"
    other = f"\n{WHOLE_TEXTS}\n" if getattr(dual_encoder.query, "selection", None) else ""
    return f"## Use\n\n```python\nfrom sentence_transformers import SentenceTransformer\n\n{load}\n```\n{other}"
