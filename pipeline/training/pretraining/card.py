"""The model card of a pre-trained encoder."""

from pathlib import Path
from typing import Any

from pipeline.evaluation.pretraining import pretraining_lines, pretraining_rows
from pipeline.training.model_card import HEADER


def pretraining_card(metrics: dict[str, Any], stage: dict[str, Any], seed: int, folder: Path) -> str:
    """Write the card of a masked-language-model run.

    Args:
        metrics: The contents of its `metrics.json`.
        stage: Its settings.
        seed: Of the run.
        folder: Where the model lies.
    """
    training = metrics["training"]
    record = training["pretraining"]
    rows = {
        "base": record["base"],
        "texts": f"{record['texts']}, {record['trained_texts']:,} texts, fingerprint "
        f"`{training['dataset_fingerprint'][:16]}`",
        "training": f"{record['steps']:,} steps of {stage['batch_size']} rows, {record['tokens']:,} tokens, "
        f"learning rate {stage['learning_rate']}",
        "masking": f"{stage['mask_share']:.0%} of tokens, {'whole words' if stage['whole_words'] else 'pieces'}",
        "seed": seed,
    }
    settings = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    figures = "".join(f"| {name} | {before} | {after} |\n" for name, before, after in pretraining_rows(record))
    return "\n".join(
        [
            HEADER,
            f"# {record['base']}, masked language modelling on {record['texts']}\n",
            f"## Training\n\n| | |\n|---|---|\n{settings}",
            f"## Held-out texts\n\n| | before | after |\n|---|---|---|\n{figures}",
            "\n".join(pretraining_lines(record)) + "\n",
            "Not tuned for retrieval. The vectors are pooled as the folder says; fine-tune it with "
            f"`python train.py backbone=local backbone.path={folder}`.\n",
        ]
    )
