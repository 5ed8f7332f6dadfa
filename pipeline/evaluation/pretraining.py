"""What masked-language-model pre-training came to, in a table and in words."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.data.dataset import labelled


def pretraining_rows(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Give name, value before the first step, and value after the last.

    Args:
        record: `training.pretraining` of a `metrics.json`.
    """
    entropy = f"{record['unigram_entropy']:.3f}"
    return [
        ("held-out loss (nats)", f"{record['loss_before']:.3f}", f"{record['loss']:.3f}"),
        ("word frequencies alone (nats)", entropy, entropy),
        ("masked tokens told rightly", f"{record['accuracy_before']:.3f}", f"{record['accuracy']:.3f}"),
        ("mean pairwise cosine of texts", f"{record['anisotropy_before']:.3f}", f"{record['anisotropy']:.3f}"),
    ]


def pretraining_table(metrics: dict[str, Any]) -> Table:
    """Lay out the table of a run folder that pre-trained and retrieved nothing."""
    table = Table(
        title=f"{labelled(metrics['dataset'], metrics.get('fingerprint', ''))}, masked language modelling",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    for column in ("", "before", "after"):
        table.add_column(column, justify="left" if not column else "right")
    for row in pretraining_rows(metrics["training"]["pretraining"]):
        table.add_row(*row)
    return table


def pretraining_lines(record: dict[str, Any]) -> list[str]:
    """Say what was trained on what, and whether it may be called pre-trained."""
    gain = record["gain"]
    below = f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    lines = [
        f"Masked language modelling of {record['base']} on {record['texts']}: {record['steps']:,} steps, "
        f"{record['tokens']:,} tokens; {record['masked_tokens']:,} masked tokens of {record['held_out_texts']} held-out texts.",
        f"Word frequencies less loss: {below} nats (95%, by text). {learned_words(record)}",
    ]
    if record["new_head"] and record["base"].endswith("pretrained"):
        lines.append("The masked-LM head was new, so the loss says as much about it as about the encoder.")
    return lines


def learned_words(record: dict[str, Any]) -> str:
    """Say in plain words whether the loss is clearly below the unigram entropy."""
    if record["learned"]:
        return "The loss is clearly below what word frequencies give."
    return (
        "That is not clearly below what word frequencies give (a fifth less, with the whole interval): "
        "what came out is not called pre-trained."
    )
