"""The processes and devices of a training, checked before anything is computed."""

import logging
import os
import warnings
from collections.abc import Sequence

import torch
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from threadpoolctl import threadpool_limits
from transformers.utils import logging as transformers_logging

from pipeline.checks import one_of, whole_number
from pipeline.errors import UserError


def process_rank() -> int:
    """Tell this process's place among those that train together; 0 when it is alone."""
    return int(getattr(rank_zero_only, "rank", None) or 0)


def use_threads(count: int | None) -> None:
    """Compute with so many threads in this process and those it starts, whatever its launcher set.

    Sums are cut at the threads, and so are batches at their caches: the last bits depend on the number.

    Args:
        count: For torch, OpenMP and BLAS; None leaves what the process was given.

    Raises:
        UserError: When it is no number of threads.
    """
    if count is None:
        return
    whole_number("threads", count)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)  # read by libraries that are loaded later
    threadpool_limits(count)
    torch.set_num_threads(count)


def require_devices(trainer: DictConfig) -> int:
    """Count the processes that a trainer's configuration asks for.

    Returns:
        How many processes train together.

    Raises:
        UserError: When it asks for devices that are not there.
    """
    accelerator = one_of("trainer.accelerator", trainer.accelerator, ("auto", "cpu", "gpu", "cuda", "mps"))
    available = 0 if accelerator in ("cpu", "mps") else torch.cuda.device_count()
    wants_gpu = accelerator in ("gpu", "cuda")
    if (wants_gpu and not available) or (accelerator == "mps" and not torch.backends.mps.is_available()):
        raise UserError(
            f"trainer.accelerator={accelerator} asks for a GPU and this machine has none; use trainer.accelerator=cpu."
        )
    devices = _count(trainer.devices, available)
    cores = os.cpu_count() or 1
    if not available and devices > cores:
        raise UserError(
            f"trainer.devices={trainer.devices} asks for {devices} processes and this machine has {cores} cores; ask for fewer."
        )
    if available and devices > available:
        raise UserError(
            f"trainer.devices={trainer.devices} asks for {devices} GPUs and this machine has {available}; ask for fewer."
        )
    return devices * int(trainer.get("num_nodes", 1))


def _count(devices: object, available: int) -> int:
    """Count devices as Lightning does; `available` GPUs, or none and the training is on the CPU."""
    if isinstance(devices, ListConfig | Sequence) and not isinstance(devices, str):
        chosen = list(devices)
        if not chosen or not all(type(one) is int and 0 <= one < available for one in chosen):
            raise UserError(
                f"trainer.devices={chosen} names GPUs that are not there (this training has {available}); give their number."
            )
        return len(set(chosen))
    if devices == "auto" or (devices == -1 and available):
        return max(1, available)
    try:
        count = 0 if isinstance(devices, bool | float) else int(devices)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise UserError(
            f"trainer.devices={devices} must be a whole number of at least 1, auto, or of GPUs a list, or -1 for all."
        )
    return count


def quiet_libraries() -> None:
    """Keep what libraries say about themselves off the terminal; warnings about the work stay."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # Batches are made in the training process on purpose: they are texts, and tokenising them takes a few milliseconds.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # The whole of a resumed run's curves lies in its checkpoint and is written at its end.
    warnings.filterwarnings("ignore", message="Experiment logs directory.*")
    # A frozen tower is in evaluation mode on purpose.
    warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")
    # A cell is one process, whatever the cluster could start.
    warnings.filterwarnings("ignore", message="The `srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
