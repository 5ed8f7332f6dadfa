"""What lies above a feed-forward sub-layer: a text is run once, and then only the rest of the model again and again.

Scaling a sub-layer's weight and bias by a scales its output by a. So nothing below that output has to be run twice, and
no weight has to be touched: changed outputs are put into the rest of the block and go up from there.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.encoders.architecture import blocks
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.head import pooled_tokens
from pipeline.encoders.tower import Batch
from pipeline.encoders.transformer_tower import TransformerTower, token_states
from pipeline.errors import UserError
from pipeline.probing.attribution.differentiable import make_differentiable

Seen = dict[str, Tensor]
"""What passed through a block, by the names of `Rest.watched`, each [texts, tokens, ...]."""


class Rest(ABC):
    """What a block does after each of its feed-forward sub-layers.

    Args:
        block: Of a frozen copy.
    """

    watched: ClassVar[dict[str, tuple[str, str]]]
    """What the rest needs: from its name to the module, and whether its `input` or its `output` is meant."""

    def __init__(self, block: nn.Module) -> None:
        self.parts = dict(block.named_modules())

    @abstractmethod
    def after_inner(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Go on from the inner sub-layer's output to the outer one's.

        Args:
            states: In the place of the inner sub-layer's output, [rows, tokens, neurons].
            seen: What the texts left in this block.
            texts: Which text each row is a version of, [rows].
        """

    @abstractmethod
    def after_outer(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Go on from the outer sub-layer's output, [rows, tokens, width], to the block's."""


class BertRest(Rest):
    """BERT and its kin: activation, outer layer, residual, normalisation (Devlin et al. 2019)."""

    watched: ClassVar[dict[str, tuple[str, str]]] = {
        "inner_input": ("intermediate.dense", "input"),
        "inner_output": ("intermediate.dense", "output"),
        "outer_input": ("output.dense", "input"),
        "outer_output": ("output.dense", "output"),
    }

    def after_inner(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Activate and multiply."""
        return self.parts["output.dense"](self.parts["intermediate.intermediate_act_fn"](states))

    def after_outer(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Add what the attention gave, and normalise."""
        return self.parts["output.LayerNorm"](states + seen["inner_input"][texts])


class LlamaRest(Rest):
    """Llama and its kin: a gate times a projection, outer layer, residual (Touvron et al. 2023; Shazeer 2020)."""

    watched: ClassVar[dict[str, tuple[str, str]]] = {
        "residual": ("post_attention_layernorm", "input"),
        "inner_input": ("mlp.gate_proj", "input"),
        "inner_output": ("mlp.gate_proj", "output"),
        "up": ("mlp.up_proj", "output"),
        "outer_input": ("mlp.down_proj", "input"),
        "outer_output": ("mlp.down_proj", "output"),
    }

    def after_inner(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Activate the gate and multiply."""
        return self.parts["mlp.down_proj"](self.parts["mlp.act_fn"](states) * seen["up"][texts])

    def after_outer(self, states: Tensor, seen: Seen, texts: Tensor) -> Tensor:
        """Add what the attention gave."""
        return states + seen["residual"][texts]


RESTS: dict[str, type[Rest]] = {"BERT's": BertRest, "Llama's": LlamaRest}


@dataclass(frozen=True)
class Trace:
    """What one batch of texts left behind.

    Attributes:
        mask: 1 for real tokens, [texts, tokens].
        weighed: 1 for tokens that are pooled, [texts, tokens].
        seen: Of every block.
        inputs: Of every block, what it was given beside the states: masks, positions.
        pooled: Pooled token states, [texts, width].
    """

    mask: Tensor
    weighed: Tensor
    seen: list[Seen]
    inputs: list[tuple[tuple[Any, ...], dict[str, Any]]]
    pooled: Tensor


class Upper:
    """A frozen copy of a tower that can be run from any feed-forward sub-layer on.

    Args:
        tower: The tower; it stays as it is.
        device: Where the copy computes, in the tower's own precision.
        tokens: About how many tokens a batch will have.

    Raises:
        UserError: When the blocks are of an unknown kind.
    """

    def __init__(self, tower: TransformerTower, device: torch.device, tokens: int) -> None:
        families = {part.family for part in feed_forwards(tower.backbone)}
        self.tower = tower
        self.backbone: Any = copy.deepcopy(tower.backbone).eval().requires_grad_(False).to(device)
        self.backbone.config.use_cache = False  # blocks are run again, and must not remember having been run
        self.head = tower.head.copied(device)
        make_differentiable(self.backbone, tokens)
        self.blocks = list(blocks(self.backbone))
        (family,) = families
        self.rests = [RESTS[family](block) for block in self.blocks]
        self.device = device
        self._check()

    def finish(self, pooled: Tensor) -> Tensor:
        """Do what the tower does after pooling, [rows, width] -> [rows, dimension]."""
        return self.head.finished(pooled)

    @torch.no_grad()
    def run(self, token_ids: list[list[int]]) -> Trace:
        """Run a batch of texts from the ground up, and keep what the rests need."""
        batch: Batch = {name: value.to(self.device) for name, value in self.tower.pad(token_ids).items()}
        seen: list[Seen] = [{} for _ in self.blocks]
        inputs: list[Any] = [None for _ in self.blocks]
        handles = []
        for number, (block, rest) in enumerate(zip(self.blocks, self.rests, strict=True)):
            handles.append(block.register_forward_pre_hook(_keep_inputs(inputs, number), with_kwargs=True))
            for name, (part, side) in rest.watched.items():
                handles.append(rest.parts[part].register_forward_hook(_keep(seen[number], name, side)))
        try:
            states = token_states(self.backbone, batch)
        finally:
            for handle in handles:
                handle.remove()
        weighed = pooled_tokens(batch)
        return Trace(batch["attention_mask"], weighed, seen, inputs, self.head.pooled(states, weighed))

    def pooled(self, trace: Trace, layer: int, name: str, states: Tensor, texts: Tensor) -> Tensor:
        """Run changed outputs of a sub-layer through everything above it.

        Args:
            trace: What the texts left.
            layer: Number of the block from 0.
            name: Of the sub-layer, `inner` or `outer`.
            states: In the place of its output, [rows, tokens, neurons or width].
            texts: Which text each row is a version of, [rows].

        Returns:
            Pooled token states, [rows, width].
        """
        rest, seen, of = self.rests[layer], trace.seen[layer], len(trace.mask)
        if name == "inner":
            states = rest.after_inner(states, seen, texts)
        states = rest.after_outer(states, seen, texts)
        for block, (args, kwargs) in zip(self.blocks[layer + 1 :], trace.inputs[layer + 1 :], strict=True):
            given = block(states, *_of_rows(args, texts, of), **_of_rows(kwargs, texts, of))
            states = given[0] if isinstance(given, tuple) else given
        last = getattr(self.backbone, "norm", None)
        states = states if last is None else last(states)
        return self.head.pooled(states, trace.weighed[texts])

    @torch.no_grad()
    def _check(self) -> None:
        """Refuse a model whose rests do not lead where its blocks lead.

        Names can be alike where the order of normalisation and residual is not (Gemma's, for one).
        """
        words = torch.linspace(0, self.backbone.config.vocab_size - 1, 8).long().tolist()
        trace, text = self.run([words]), torch.zeros(1, dtype=torch.long, device=self.device)
        for layer, seen in enumerate(trace.seen):
            pooled = self.pooled(trace, layer, "inner", seen["inner_output"], text)
            if not torch.allclose(pooled, trace.pooled, rtol=1e-3, atol=1e-4):
                raise UserError(
                    f"A {self.backbone.config.model_type} model names its parts like BERT or Llama but joins them"
                    " otherwise; attribution knows BERT's and Llama's blocks."
                )


def _keep(seen: Seen, name: str, side: str) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        seen[name] = args[0] if side == "input" else output

    return hook


def _keep_inputs(inputs: list[Any], number: int) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs[number] = (args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"})

    return hook


def _of_rows(value: Any, texts: Tensor, of: int) -> Any:
    """Give every row what belongs to its text, where something does; there are so many texts."""
    if isinstance(value, Tensor) and value.ndim > 1 and len(value) == of > 1:
        return value[texts]
    if isinstance(value, tuple):
        return tuple(_of_rows(part, texts, of) for part in value)
    if isinstance(value, dict):
        return {name: _of_rows(part, texts, of) for name, part in value.items()}
    return value
