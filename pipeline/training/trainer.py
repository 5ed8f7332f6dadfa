"""Lightning's Trainer as a run may set it: every argument works as its users know it, or is refused by name."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from pipeline.checks import number, one_of, whole_number
from pipeline.encoders.precision import fast_bfloat16
from pipeline.entry import instantiate
from pipeline.errors import UserError, nearest

MEANT = (
    "accelerator",
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "max_steps",
    "log_every_n_steps",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "deterministic",
    "benchmark",
    "detect_anomaly",
)
"""Arguments that work as Lightning's users know them."""

STEPS = "a training is counted in steps: give trainer.max_steps (a pass over the queries is their number divided by stage.batch_size)"
TEXTS = "for less of everything give trainer.max_steps, dataset.limit, stage.validation_queries or stage.validation_documents"
VALIDATION = "the run's own validation is by retrieval: give stage.validate_every, stage.validation_queries"
FILES = "a run keeps its own files in folder=…"
CURVES = "curves go to logger=wandb, csv or none"
CHECKPOINTS = "checkpoints are the run's own: give stage.checkpoint_every, stage.weights"
WHOLE = "it cannot be told on the command line, or would replace what a resumed run rests on"

INSTEAD = {
    "max_epochs": STEPS,
    "min_epochs": STEPS,
    "min_steps": "what ends a training before trainer.max_steps is patience: give stage.patience=null",
    "max_time": "a training takes trainer.max_steps; kill it when its time is up, and the same command goes on where it was",
    "accumulate_grad_batches": "a step is one update over stage.batch_size queries, whose documents are each other's "
    "negatives: give a larger stage.batch_size",
    "fast_dev_run": TEXTS,
    "limit_train_batches": TEXTS,
    "limit_val_batches": VALIDATION,
    "limit_test_batches": VALIDATION,
    "limit_predict_batches": VALIDATION,
    "overfit_batches": TEXTS,
    "val_check_interval": VALIDATION,
    "check_val_every_n_epoch": VALIDATION,
    "num_sanity_val_steps": VALIDATION,
    "inference_mode": VALIDATION,
    "reload_dataloaders_every_n_epochs": "what a step reads follows from seed and step alone",
    "use_distributed_sampler": "a batch is divided among the processes by the run itself",
    "logger": CURVES,
    "enable_autolog_hparams": CURVES,
    "model_registry": CURVES,
    "enable_checkpointing": CHECKPOINTS,
    "callbacks": WHOLE,
    "plugins": WHOLE,
    "enable_progress_bar": "progress is shown on a terminal, and nowhere else",
    "enable_model_summary": "`log.txt` and the model's card say what is trained",
    "default_root_dir": FILES,
    "profiler": "its report would go to a log that is kept quiet: run `python -m cProfile -s cumtime train.py …`",
    "sync_batchnorm": "no encoder here has batch normalisation",
    "barebones": "it forbids validation and checkpoints; give logger=none",
}
"""What to use instead of an argument that the run sets itself, or has no use for."""

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
"""Every process holds all weights, as the checkpoints do."""
PRECISIONS = ("auto", "32-true", "bf16-mixed")


def make_trainer(config: DictConfig, **fixed: Any) -> Callable[..., pl.Trainer]:
    """Give what makes a Trainer of its remaining arguments.

    Args:
        config: `trainer` of the composed configuration.
        fixed: Arguments that take the place of the configuration's.

    Raises:
        UserError: When an argument is none, would be ignored, or has a value that cannot be meant.
    """
    require_trainer(config)
    return instantiate(config, _partial_=True, precision=trainer_precision(config), **fixed)


def require_trainer(config: DictConfig) -> None:
    """Refuse what Lightning's Trainer, or the run that makes one, cannot mean.

    Raises:
        UserError: Naming the argument, and what to use instead.
    """
    _require_known(map(str, config), inspect.signature(pl.Trainer).parameters)
    whole_number("trainer.log_every_n_steps", config.get("log_every_n_steps", 1))
    whole_number("trainer.num_nodes", config.get("num_nodes", 1))
    one_of("trainer.strategy", config.get("strategy", "auto"), STRATEGIES)
    one_of("trainer.gradient_clip_algorithm", config.get("gradient_clip_algorithm") or "norm", ("norm", "value"))
    if config.get("gradient_clip_val") is not None:
        number("trainer.gradient_clip_val", config.gradient_clip_val)
    for name, further in (("deterministic", ["warn"]), ("benchmark", []), ("detect_anomaly", [])):
        if config.get(name) not in (None, True, False, *further):
            raise UserError(
                f"trainer.{name}={config[name]} is unknown; known are {', '.join(['true', 'false', *further])}."
            )
    trainer_precision(config)


def _require_known(given: Iterable[str], arguments: Iterable[str]) -> None:
    """Refuse arguments by name.

    Args:
        given: Names in the configuration.
        arguments: Those of Lightning's Trainer, of whatever version.
    """
    arguments = set(arguments)
    for name in given:
        if name in INSTEAD:
            raise UserError(f"trainer.{name} is not for a configuration: {INSTEAD[name]}.")
        if name not in arguments and name != "_target_":
            raise UserError(f"trainer.{name} is no argument of Lightning's Trainer; {nearest(name, MEANT)}")
        if name in arguments and name not in MEANT:
            raise UserError(f"trainer.{name} is not known to work here; leave it out.")


def instead_of(key: str) -> str | None:
    """Say what to give in the place of an argument of Lightning's Trainer that no configuration names; None: it is none."""
    group, _, name = key.partition(".")
    if group != "trainer" or name not in (*INSTEAD, *MEANT):
        return None
    if name in INSTEAD:
        return f"{key} is not for a configuration: {INSTEAD[name]}."
    return f"{key} stands in no configuration yet; give it as +{key}=…."


def trainer_precision(config: DictConfig) -> str:
    """Turn `auto` into the precision that the trainer's device is fastest in.

    Raises:
        UserError: When the precision is none that a step is reproducible in from a checkpoint.
    """
    if config.precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision={config.precision} is not offered: weights, losses and checkpoints are in float32, and a "
            f"loss scaler's state would be lost on resuming; choose {', '.join(PRECISIONS)}."
        )
    if config.precision != "auto":
        return config.precision
    on_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if fast_bfloat16(torch.device("cuda" if on_gpu else "cpu")) else "32-true"
