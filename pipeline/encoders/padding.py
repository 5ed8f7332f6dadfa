"""Whether a text's vector depends on how far its neighbours in a batch make it be padded; it must not."""

import sys

import torch
from torch import nn

from pipeline.encoders.tower import Tower

TOLERANCE = 1e-3
"""Of a vector's length, in float32: rounding moves it by less than a hundredth of this, in any order of summation."""
TOLERANCE_OF_HALF = 2e-2
"""Of weights that are themselves in a half precision: some roundings of bfloat16."""
SHORT = "what is this"
LONG = " ".join([SHORT] * 8)


def warn_where_padding_matters(tower: Tower) -> None:
    """Say in one sentence that vectors depend on padding; looked at once for each tower's weights.

    Some architectures let padding through: ConvBERT's convolutions read over the end of a text.

    Args:
        tower: Any; it stays as it is.
    """
    checked: nn.Module = tower.transformer or tower
    if not tower.padded or getattr(checked, "padding_is_checked", False):
        return
    checked.padding_is_checked = True  # type: ignore[assignment]
    effect = effect_of_padding(tower)
    if effect > (TOLERANCE if next(tower.parameters()).dtype == torch.float32 else TOLERANCE_OF_HALF):
        print(
            f"warning: vectors of {type(checked).__name__} depend on the other texts of their batch: alone and padded, a"
            f" text's differ by {effect:.2%} of their length, where rounding makes less than {TOLERANCE:.1%};"
            " encoding.token_budget=1 encodes every text alone, but training pads.",
            file=sys.stderr,
            flush=True,
        )


def effect_of_padding(tower: Tower) -> float:
    """Encode a short text alone and beside a long one, in the precision of the weights and without dropout.

    Args:
        tower: Encodes.

    Returns:
        The distance between the two vectors, relative to the first's length; 0 where the tower cuts both texts alike.
    """
    (short, long), _ = tower.tokenizer.token_ids([SHORT, LONG])
    modes = [(module, module.training) for module in tower.modules()]
    tower.eval()
    try:
        with torch.no_grad(), torch.autocast(tower.device.type, enabled=False):
            alone, padded = (
                tower({name: value.to(tower.device) for name, value in tower.pad(ids).items()})[0].double()
                for ids in ([short], [short, long])
            )
    finally:
        for module, mode in modes:
            module.training = mode
    return float((alone - padded).norm() / alone.norm().clamp(min=torch.finfo(torch.float32).tiny))
