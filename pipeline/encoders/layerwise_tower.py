"""A tower that says what every layer of another one thinks of a text, in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoders.architecture import blocks
from pipeline.encoders.backbones import Kind
from pipeline.encoders.head import pooled_tokens
from pipeline.encoders.tower import Batch, Tower
from pipeline.encoders.transformer_tower import TransformerTower, token_states
from pipeline.errors import UserError


class LayerwiseTower(Tower):
    """The pooled states of a transformer tower's layers 0 to L side by side, before projection and normalisation.

    Layer 0 is what enters the first block, layer L what the transformer gives (after its last normalisation, where it
    has one): what transformers calls `hidden_states`.

    Args:
        tower: The tower that is looked into; it stays as it is.

    Raises:
        UserError: On encoding, when layers are given anything but one state of each token.
    """

    def __init__(self, tower: TransformerTower) -> None:
        super().__init__(tower.tokenizer, "dot", tower.prompts, tower.title_separator)
        if len(tower.token_layers):
            kinds = ", ".join(layer.kind for layer in tower.head.token_layers)
            raise UserError(
                f"This tower has layers of its own before its pooling ({kinds}), and the states of a layer inside the"
                " transformer cannot be pooled through them; choose another model."
            )
        self.tower = tower
        self.depth = len(blocks(tower.backbone))

    @property
    def dimension(self) -> int:
        """Layers, the 0th too, times their width."""
        return (self.depth + 1) * self.tower.width * len(self.tower.pooling.modes)

    @property
    def transformer(self) -> PreTrainedModel:
        """The transformer whose layers these are."""
        return self.tower.backbone

    def token_ids(self, texts: list[str], kind: Kind) -> list[list[int]]:
        """Tokenize as the tower does."""
        before = self.tower.truncated
        ids = self.tower.token_ids(texts, kind)
        self.truncated += self.tower.truncated - before
        return ids

    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Make a batch as the tower does."""
        return self.tower.pad(token_ids)

    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into pooled states [texts, (layers + 1) * width]."""
        return self._states(self.tower.backbone, batch)

    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Copy the transformer."""
        backbone = self.tower.fast_backbone(device, dtype, tokens)
        return lambda batch: self._states(backbone, batch)

    def _states(self, backbone: PreTrainedModel, batch: Batch) -> Tensor:
        mask, pooling = pooled_tokens(batch), self.tower.pooling
        # Pooled at once: the token states of all layers together would not stay in the caches, nor perhaps in memory.
        pooled: list[Tensor] = []

        def look(states: Tensor) -> None:
            if states.shape != (*mask.shape, self.tower.width):
                raise UserError(
                    f"The layers of a {backbone.config.model_type} model cannot be looked into: they are given states of"
                    f" shape {list(states.shape)}, not {[*mask.shape, self.tower.width]} (texts, tokens, width)."
                )
            pooled.append(pooling(states, mask))

        with _inputs_of(backbone, look):
            pooled.append(pooling(token_states(backbone, batch), mask))
        return torch.cat(pooled, dim=1)

    def description(self) -> dict[str, Any]:
        """Say what decides the states beside weights, tokenizer and prompt."""
        return {"layers": self.tower.description()}

    def write(self, folder: Path, card: str) -> None:
        """Write the tower that is looked into."""
        self.tower.write(folder, card)


@contextmanager
def _inputs_of(backbone: PreTrainedModel, look: Callable[[Tensor], Any]) -> Iterator[None]:
    """Look at the states that enter each block, in their order."""

    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        look(args[0] if args else kwargs["hidden_states"])

    handles = [block.register_forward_pre_hook(hook, with_kwargs=True) for block in blocks(backbone)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
