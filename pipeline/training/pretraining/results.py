"""What is said of a pre-training afterwards, and the files of its folder."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipeline.data.remarks import remarks
from pipeline.evaluation.results import METRICS
from pipeline.files import write_json
from pipeline.training.course import History
from pipeline.training.parts import parts_of, write_curves
from pipeline.training.pretraining.plot import plot_pretraining

if TYPE_CHECKING:
    from pipeline.training.pretraining.run import Pretraining

CHECKPOINT = "checkpoint"


def summary(run: "Pretraining", history: History) -> dict[str, Any]:
    """Measure once more, token by token, and put together what the run folder says of the training.

    Args:
        run: What was trained.
        history: Its curves.
    """
    bench, held_out = run.bench, run.held_out
    measured = held_out.measure(run.headed.model, torch.device("cpu"))
    before, after = history.validations[0], measured.row()
    record = {
        "base": f"{bench.backbone.name}, {bench.backbone.init}",
        "texts": bench.dataset.label,
        "trained_texts": len(run.division.trained),
        "held_out_texts": len(held_out.texts),
        "masked_tokens": len(measured.losses),
        "steps": bench.max_steps,
        "tokens": run.batches.tokens_until(bench.max_steps),
        "new_head": run.headed.fresh,
        "whole_words": run.stage.whole_words,
        "loss_before": before["held_out_loss"],
        "loss": after["held_out_loss"],
        "loss_on_read": history.losses[-1]["loss"],
        "unigram_entropy": held_out.unigram_entropy,
        "gain": asdict(held_out.gain(measured.losses)),
        "learned": held_out.learned(measured.losses),
        "accuracy_before": before["held_out_accuracy"],
        "accuracy": after["held_out_accuracy"],
        "anisotropy_before": before["anisotropy"],
        "anisotropy": after["anisotropy"],
    }
    return {
        "stage": run.stage.name,
        "steps": bench.max_steps,
        "loss": history.losses[-1]["loss"],
        "pretraining": record,
        "curves": {"loss": history.losses, "validation": history.validations},
    }


def finish(
    run: "Pretraining", folder: Path, trained: dict[str, Any], card: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """Save the model, write curves, plots and, last, `metrics.json`; remove the checkpoints.

    Args:
        run: What was trained.
        folder: Where everything goes.
        trained: What `train` returned.
        card: Writes the model's card from the metrics.

    Returns:
        What `metrics.json` holds.
    """
    metrics = _metrics(run, trained)
    parts = parts_of(trained)
    plot_pretraining(parts, trained["pretraining"]["unigram_entropy"], folder / "plots" / "curves")
    write_curves(parts, folder / "curves.csv")
    run.save(folder / "model", card(metrics))
    write_json(folder / "timings.json", {"pretraining": run.timings})
    write_json(folder / METRICS, metrics)
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    return metrics


def _metrics(run: "Pretraining", trained: dict[str, Any]) -> dict[str, Any]:
    """Put `metrics.json` together in the form of every run folder, without a system that retrieves."""
    dataset = run.bench.dataset
    split = dataset.split(run.stage.split)
    return {
        "dataset": dataset.name,
        "split": split.name,
        "queries": 0,
        "documents": len(split.documents),
        "measures": [],
        "relevant_from": dataset.relevant_from,
        "remove_self_hits": bool(dataset.remove_self_hits),
        "fingerprint": dataset.fingerprint,
        "remarks": [*run.bench.tower.notes, *remarks(dataset, split)],
        "systems": {},
        "details": {},
        "significance": None,
        "training": trained | {"dataset_fingerprint": dataset.fingerprint, "dataset_notes": dataset.notes},
    }
