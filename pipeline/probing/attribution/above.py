"""What lies above a feed-forward sub-layer: a text is run once, and then only the rest of the model again and again.

Scaling a sub-layer's weight and bias by a scales its output by a. So nothing below that output has to be run twice, and
no weight has to be touched: the model itself is run again, with changed outputs in the sub-layer's place, and what lies
below stands still, each part giving what it gave before.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.encoders.architecture import blocks
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.head import pooled_tokens
from pipeline.encoders.tower import Batch
from pipeline.encoders.transformer_tower import TransformerTower, token_states
from pipeline.errors import UserError
from pipeline.probing.attribution.differentiable import make_differentiable

Seen = dict[str, Any]
"""What passed through a block: what `block`, `attention`, `inner` and `outer` gave, the last two as [texts, tokens, outputs],
and what these two were given, `inner_input` and `outer_input`, [texts, tokens, inputs]."""


@dataclass(frozen=True)
class Trace:
    """What one batch of texts left behind.

    Attributes:
        batch: The texts, each entry [texts, tokens].
        seen: Of every block.
        pooled: Pooled token states, [texts, width].
    """

    batch: Batch
    seen: list[Seen]
    pooled: Tensor

    @property
    def mask(self) -> Tensor:
        """1 for real tokens, [texts, tokens]."""
        return self.batch["attention_mask"]


class Upper:
    """A frozen copy of a tower that can be run from any feed-forward sub-layer on.

    Args:
        tower: The tower; it stays as it is.
        device: Where the copy computes, in the tower's own precision.
        tokens: About how many tokens a batch will have.

    Raises:
        UserError: When the blocks are of an unknown kind, or do more than to hand states up one by one.
    """

    def __init__(self, tower: TransformerTower, device: torch.device, tokens: int) -> None:
        parts = feed_forwards(tower.backbone)
        self.tower = tower
        self.backbone: Any = copy.deepcopy(tower.backbone).eval().requires_grad_(False).to(device)
        self.backbone.config.use_cache = False  # the model is run again, and must not remember having been run
        self.head = tower.head.copied(device)
        make_differentiable(self.backbone, tokens)
        self.parts: list[dict[str, nn.Module]] = [
            {"block": block}
            | {name: block.get_submodule(getattr(part.family, name)) for name in ("attention", "inner", "outer")}
            for block, part in zip(blocks(self.backbone), parts, strict=True)
        ]
        self.neurons = [part.neurons for part in parts]
        self.device = device
        self._check()

    def finish(self, pooled: Tensor) -> Tensor:
        """Do what the tower does after pooling, [rows, width] -> [rows, dimension]."""
        return self.head.finished(pooled)

    @torch.no_grad()
    def run(self, token_ids: list[list[int]]) -> Trace:
        """Run a batch of texts from the ground up, and keep what each part gave."""
        batch: Batch = {name: value.to(self.device) for name, value in self.tower.pad(token_ids).items()}
        seen: list[Seen] = [{} for _ in self.parts]
        with ExitStack() as hooks:
            for found, parts in zip(seen, self.parts, strict=True):
                for name, part in parts.items():
                    hooks.callback(part.register_forward_hook(_keep(found, name, batch["input_ids"].shape)).remove)
            states = token_states(self.backbone, batch)
        return Trace(batch, seen, self.head.pooled(states, pooled_tokens(batch)))

    def output(self, trace: Trace, layer: int, name: str) -> Tensor:
        """Give the output of a sub-layer, of the inner one the neurons' alone, [texts, tokens, neurons or width]."""
        output: Tensor = trace.seen[layer][name]
        return output[..., : self.neurons[layer]] if name == "inner" else output

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
        seen, parts = trace.seen[layer], self.parts[layer]
        below = ("attention",) if name == "inner" else ("attention", "inner")
        standing = [(parts[part], _of_rows(seen[part], texts)) for part in below]
        beside = seen[name][..., states.shape[-1] :]  # what a fused layer says beside the neurons
        # A copy in either case: what comes after may add to it in its place, as Falcon does.
        changed = torch.cat([states, beside[texts]], dim=-1) if beside.shape[-1] else states.clone()
        standing.append((parts[name], changed))
        if layer:
            entering = _of_rows(trace.seen[layer - 1]["block"], texts)
            standing += [(lower["block"], entering) for lower in self.parts[:layer]]
        batch = {name: value[texts] for name, value in trace.batch.items()}
        with ExitStack() as stack:
            for part, output in standing:
                stack.enter_context(_standing(part, output))
            return self.head.pooled(token_states(self.backbone, batch), pooled_tokens(batch))

    @torch.no_grad()
    def _check(self) -> None:
        """Refuse a model that from its own sub-layers' outputs on does not come to what it came to.

        Parts can have known names where blocks hand up more than one state of each token (Gemma 3n's do).
        """
        words = torch.linspace(0, self.backbone.config.vocab_size - 1, 8).long().tolist()
        trace, texts = self.run([words, words[:3]]), torch.tensor([1, 0], device=self.device)
        for layer, seen in enumerate(trace.seen):
            given = seen["block"][0] if isinstance(seen["block"], tuple) else seen["block"]
            if given.shape[:-1] != trace.mask.shape or not all(
                torch.allclose(
                    self.pooled(trace, layer, name, self.output(trace, layer, name)[texts], texts),
                    trace.pooled[texts],
                    rtol=1e-3,
                    atol=1e-4,
                )
                for name in ("inner", "outer")
            ):
                raise UserError(
                    f"A {self.backbone.config.model_type} model cannot be run from the middle of a layer on, as"
                    " attribution does: its layers do more than to hand up one state of each token."
                )


def _keep(seen: Seen, name: str, shape: torch.Size) -> Callable[..., None]:
    """Look at a part; some blocks give their sub-layers all tokens of a batch in one row."""

    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        seen[name] = output
        if name in ("inner", "outer"):
            seen[f"{name}_input"] = args[0].reshape(*shape, -1)
            seen[name] = output.reshape(*shape, -1).clone()  # Falcon adds its attention to what `outer` gave, in place

    return hook


@contextmanager
def _standing(part: nn.Module, output: Any) -> Iterator[None]:
    """Let a part give an output, computing nothing, for as long as the context lasts."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return output.flatten(0, 1) if args and isinstance(output, Tensor) and args[0].ndim < output.ndim else output

    part.forward = forward
    try:
        yield
    finally:
        del part.forward


def _of_rows(value: Any, texts: Tensor) -> Any:
    """Give every row what belongs to its text; what has one entry alone belongs to all."""
    if isinstance(value, Tensor):
        return value.expand(len(texts), *value.shape[1:]) if len(value) == 1 else value[texts]
    return tuple(_of_rows(part, texts) for part in value) if isinstance(value, tuple) else value
