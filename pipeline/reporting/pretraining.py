"""Masked-LM pre-training that went before, and whether it learned clearly more than word frequencies."""

from typing import Any

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.cells import Cells
from pipeline.reporting.section import Section, Table, interval_words
from pipeline.reporting.words import Finding, most_telling, strength

MOST_FINDINGS = 3
COLUMNS = {
    "texts": "texts",
    "base": "base",
    "steps": "steps",
    "tokens": "tokens",
    "loss_before": "loss before",
    "loss": "loss",
    "unigram_entropy": "unigram entropy",
    "anisotropy_before": "anisotropy before",
    "anisotropy": "anisotropy",
}


def section(cells: Cells) -> Section | None:
    """Tabulate what each masked-LM training says of itself."""
    records = [run.record for run in cells.masked] + [cell.pretraining for cell in cells if cell.pretraining]
    rows: list[dict[str, Any]] = []
    for record in records:
        row = {words: record.get(key) for key, words in COLUMNS.items()}
        if gain := record.get("gain"):
            row["entropy less loss"] = Interval(gain["mean"], gain["low"], gain["high"])
        row["learned"] = "yes" if record.get("learned") else "no"
        if row not in rows:
            rows.append(row)
    if not rows:
        return None
    note = (
        "Loss: masked cross-entropy on held-out tokens, in nats; at the unigram entropy a model knows word frequencies and "
        "no more. Anisotropy: mean cosine of two texts' vectors, 1 where all point one way."
    )
    new_head = any(record.get("new_head") and str(record.get("base", "")).endswith("pretrained") for record in records)
    notes = ["A new masked-LM head on given weights: the loss says as much about it as about the encoder."] * new_head
    return Section(
        "Masked-LM pre-training",
        most_telling([_finding(row) for row in rows if None not in row.values()], MOST_FINDINGS),
        [Table("masked-lm", "Masked-LM trainings", rows, note)],
        notes=notes,
    )


def _finding(row: dict[str, Any]) -> Finding:
    """Say what one training learned; those that learned too little come first, for their bases are not what they seem."""
    named = f"Masked-LM training of {row['base']} on {row['texts']}"
    losses = f"held-out loss {row['loss']:.2f} nats, unigram entropy {row['unigram entropy']:.2f}"
    if "entropy less loss" in row:
        losses += f", between them {interval_words(row['entropy less loss'])}"
    learned = row["learned"] == "yes"
    sentence = f"{named} learned too little: {losses}. What begins from it is not called pre-trained here."
    if learned:
        sentence = f"{named} learned clearly more than word frequencies: {losses}, after {row['tokens']:,} tokens."
    return Finding(sentence, strength(row.get("entropy less loss")), place=int(learned))
