"""Where the feed-forward sub-layers of a transformer's blocks lie, for the families whose blocks are known."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from pipeline.encoders.architecture import blocks
from pipeline.errors import UserError

KNOWN = {
    "BERT's": ("intermediate.dense", "output.dense", "attention.output.dense"),
    "Llama's": ("mlp.gate_proj", "mlp.down_proj", "self_attn.o_proj"),
}
"""Families of blocks, and where each keeps its two feed-forward sub-layers and the end of its attention."""


@dataclass(frozen=True)
class FeedForward:
    """The parts of one block that are looked into.

    A neuron is one output of `inner`; its activation, after the non-linearity (and, in Llama's blocks, times what the
    `up` projection says), is one input of `outer`.

    Attributes:
        family: `BERT's` or `Llama's`.
        inner: From the width of the states to the neurons: BERT's `intermediate.dense`, Llama's `gate_proj`.
        outer: From the neurons back to the width: BERT's `output.dense`, Llama's `down_proj`.
        attention_output: From the attention heads, side by side, back to the width.
    """

    family: str
    inner: nn.Linear
    outer: nn.Linear
    attention_output: nn.Linear

    @property
    def neurons(self) -> int:
        """How many neurons the block has."""
        return self.inner.out_features


def feed_forwards(model: PreTrainedModel) -> list[FeedForward]:
    """Find the sub-layers of every block, in their order.

    Raises:
        UserError: When the blocks are of an unknown kind; the sentence says which are known and what this one has.
    """
    return [_found(block, model.config.model_type) for block in blocks(model)]


def _found(block: nn.Module, model_type: str) -> FeedForward:
    """Look for the sub-layers of each family in one block."""
    parts = dict(block.named_modules())
    for family, names in KNOWN.items():
        found = [parts.get(name) for name in names]
        if all(isinstance(part, nn.Linear) for part in found):
            return FeedForward(family, *found)  # type: ignore[arg-type]
    known = "; ".join(f"{family} ({', '.join(names)})" for family, names in KNOWN.items())
    has = ", ".join(name for name, part in parts.items() if isinstance(part, nn.Linear))
    raise UserError(
        f"The feed-forward sub-layers of a {model_type} block are not known: known are {known}, and this one has {has}."
    )
