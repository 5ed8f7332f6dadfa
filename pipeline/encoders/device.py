"""The device that a setting means, refused in one sentence where it is not there."""

import torch

from pipeline.errors import UserError


def chosen_device(setting: str, value: str) -> torch.device:
    """Find the device that a user's word means.

    Args:
        setting: The setting's name, for the sentence.
        value: `auto` (the first GPU, or else the CPU), `cpu`, `cuda`, `cuda:1`, …

    Raises:
        UserError: When the word means no device, or one that this machine lacks.
    """
    if value == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(value)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"{setting}={value} is no device; write auto, cpu, cuda or cuda:0.") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"{setting}={value} is a device that is not supported; write auto, cpu, cuda or cuda:0.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"{setting}={value} is asked for, but this machine has {torch.cuda.device_count()} GPUs that can be used; "
            "choose auto or cpu."
        )
    return device
