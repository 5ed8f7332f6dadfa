"""Telling a lack of memory from other errors."""

import torch


def lacks_memory(error: RuntimeError) -> bool:
    """Whether a device, or the machine, had too little memory left for a tensor."""
    # On CPUs torch has no class of its own for it.
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
