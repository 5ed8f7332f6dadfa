"""Where the feed-forward sub-layers of a transformer's blocks lie, for the families whose blocks are known."""

from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.encoders.architecture import blocks
from pipeline.errors import UserError


@dataclass(frozen=True)
class Family:
    """Blocks of one kind, by the names of their parts; in what order these are joined is left to the block itself.

    Attributes:
        name: Whose.
        inner: From the width of the states to the neurons; of gated ones (Shazeer 2020) what is activated.
        outer: From the neurons back to the width.
        attention: All of the attention that is run before `inner`.
        attention_output: From the attention heads, side by side, back to the width.
        fused: Whether the second half of `inner`'s outputs is no neurons, but what the first, activated, is multiplied by.
    """

    name: str
    inner: str
    outer: str
    attention: str
    attention_output: str
    fused: bool = False


BERT, LLAMA = "BERT's", "Llama's"
FAMILIES = (
    Family(BERT, "intermediate.dense", "output.dense", "attention", "attention.output.dense"),
    Family("MPNet's", "intermediate.dense", "output.dense", "attention", "attention.attn.o"),
    Family("DistilBERT's", "ffn.lin1", "ffn.lin2", "attention", "attention.out_lin"),
    Family("ModernBERT's", "mlp.Wi", "mlp.Wo", "attn", "attn.Wo", fused=True),
    Family("T5's", "layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wo", "layer.0", "layer.0.SelfAttention.o"),
    Family(
        "gated T5's",
        *("layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wo", "layer.0", "layer.0.SelfAttention.o"),
    ),
    Family(LLAMA, "mlp.gate_proj", "mlp.down_proj", "self_attn", "self_attn.o_proj"),
    Family("Phi-3's", "mlp.gate_up_proj", "mlp.down_proj", "self_attn", "self_attn.o_proj", fused=True),
    Family("GPT-2's", "mlp.c_fc", "mlp.c_proj", "attn", "attn.c_proj"),
    Family("GPT-Neo's", "mlp.c_fc", "mlp.c_proj", "attn", "attn.attention.out_proj"),
    Family("GPT-NeoX's", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "attention", "attention.dense"),
    Family("BLOOM's", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "self_attention", "self_attention.dense"),
    Family("OPT's", "fc1", "fc2", "self_attn", "self_attn.out_proj"),
    Family("Jina v3's", "mlp.fc1", "mlp.fc2", "self_attn", "self_attn.o_proj"),
)


@dataclass(frozen=True)
class FeedForward:
    """The parts of one block that are looked into.

    A neuron is one output of `inner`; its activation, after the non-linearity (and, in gated blocks, times what the other
    projection says), is one input of `outer`.

    Attributes:
        family: What the block's parts are called.
        inner: See `Family`, as the others.
        outer: Its inputs are the neurons.
        attention_output: Its inputs are the heads.
    """

    family: Family
    inner: nn.Module
    outer: nn.Module
    attention_output: nn.Module

    @property
    def neurons(self) -> int:
        """How many neurons the block has."""
        return weight_of(self.outer).shape[1]

    def weight(self, name: str) -> Tensor:
        """Give the weight of `inner`'s neurons or of `outer`, [outputs, inputs]."""
        return weight_of(self.outer) if name == "outer" else weight_of(self.inner)[: self.neurons]


def weight_of(layer: nn.Module) -> Tensor:
    """Give the weight of a linear layer as [outputs, inputs], a view of its own; GPT-2 keeps it the other way round."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.T if isinstance(layer, Conv1D) else weight


def feed_forwards(model: PreTrainedModel) -> list[FeedForward]:
    """Find the sub-layers of every block, in their order.

    Raises:
        UserError: When the blocks are of an unknown kind; the sentence says which are known and what this one has.
    """
    return [_found(block, model.config.model_type) for block in blocks(model)]


def _found(block: nn.Module, model_type: str) -> FeedForward:
    """Look for the sub-layers of each family in one block."""
    parts = dict(block.named_modules())
    for family in FAMILIES:
        found = [parts.get(name, block) for name in (family.inner, family.outer, family.attention_output)]
        if all(isinstance(part, nn.Linear | Conv1D) for part in found):
            part = FeedForward(family, *found)
            if len(weight_of(part.inner)) == part.neurons * (2 if family.fused else 1):
                return part
    known = ", ".join(family.name for family in FAMILIES)
    own = {name: part.parameters(recurse=False) for name, part in parts.items()}
    has = ", ".join(name for name, weights in own.items() if any(weight.ndim > 1 for weight in weights))
    raise UserError(
        f"Which neurons and heads a {model_type} block has is not known: known are {known}, and this one has {has}."
    )
