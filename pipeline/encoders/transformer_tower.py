"""A tower with a transformer inside: backbone, pooling, and perhaps a projection."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from pipeline.encoders.architecture import first_position, takes_positions
from pipeline.encoders.backbones import Kind
from pipeline.encoders.cpu import make_fast
from pipeline.encoders.layout import Similarity
from pipeline.encoders.pooling import Pooling
from pipeline.encoders.projection import Projection
from pipeline.encoders.saving import save_transformer_tower
from pipeline.encoders.selection import TokenSelection
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.tower import Batch, Tower
from pipeline.errors import UserError

VOLATILE = (
    "transformers_version",
    "_name_or_path",
    "architectures",
    "dtype",
    "use_cache",
    "torch_dtype",
    "id2label",
    "label2id",
)
"""Entries of a model's config that change on saving, or with the library, and decide no vector."""


class TransformerTower(Tower):
    """Backbone, pooling, optional projection, and normalisation when the similarity is cosine.

    Args:
        backbone: The transformer.
        tokenizer: Its tokenizer.
        pooling: How token states become one vector.
        projections: Linear layers after the pooling, usually none or one.
        similarity: `cosine` normalises the vectors, `dot` leaves them.
        prompts: What is put before a text of each kind.
        title_separator: What stands between a document's title and its text.
        selection: Which of a text's tokens are kept; None keeps all.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: TextTokenizer,
        pooling: Pooling,
        projections: Sequence[Projection] = (),
        similarity: Similarity = "cosine",
        prompts: dict[Kind, str] | None = None,
        title_separator: str = " ",
        selection: TokenSelection | None = None,
    ) -> None:
        super().__init__(tokenizer, similarity, prompts, title_separator)
        self.backbone = backbone
        self.pooling = pooling
        self.projections = nn.ModuleList(projections)
        self.selection = selection
        widths = [self.width, *(projection.outputs for projection in projections)]
        for projection, width in zip(projections, widths, strict=False):
            if projection.inputs != width:
                raise UserError(f"A projection expects vectors of width {projection.inputs} but gets {width}.")

    @property
    def transformer(self) -> PreTrainedModel:
        """The backbone."""
        return self.backbone

    @property
    def width(self) -> int:
        """Width of the token states."""
        return self.backbone.config.hidden_size

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.layers_after_pooling()[-1].outputs if len(self.projections) else self.width

    def layers_after_pooling(self) -> list[Projection]:
        """The projections, usually none or one."""
        return [projection for projection in self.projections if isinstance(projection, Projection)]

    def token_ids(self, texts: list[str], kind: Kind) -> list[list[int]]:
        """Tokenize texts with the prompt of their kind; each has one token at least."""
        return [ids or [self.tokenizer.lone_id] for ids in super().token_ids(texts, kind)]

    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Make a batch of tokenized texts, of the tokens that are selected.

        Returns:
            `input_ids` and `attention_mask`, both [texts, longest]; of a selection also `position_ids`, where each token
            stood in the whole text.
        """
        if self.selection is None:
            return self.tokenizer.pad(token_ids)
        places = [self.selection.places(ids) for ids in token_ids]
        batch = self.tokenizer.pad(
            [[ids[place] for place in kept] for ids, kept in zip(token_ids, places, strict=True)]
        )
        if self.selection.renumbered:
            return batch
        positions = torch.zeros_like(batch["input_ids"])
        positions[batch["attention_mask"].bool()] = torch.from_numpy(np.concatenate(places))
        return batch | {"position_ids": positions + first_position(self.backbone)}

    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""
        return self.vectors(token_states(self.backbone, batch), batch["attention_mask"])

    def vectors(self, states: Tensor, mask: Tensor, projections: Sequence[Projection] | None = None) -> Tensor:
        """Turn token states [texts, tokens, width] into vectors [texts, dimension].

        Args:
            states: What the last layer says of each token.
            mask: 1 for real tokens and 0 for padding, [texts, tokens].
            projections: Copies of the tower's own that lie where the states are; None takes its own.
        """
        vectors = self.pooling(states, mask)
        for projection in self.layers_after_pooling() if projections is None else projections:
            vectors = projection(vectors)
        return functional.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Copy the transformer in the wished precision, on a CPU with packed weights; projections stay in float32."""
        backbone = self.fast_backbone(device, dtype, tokens)
        projections = [copy.deepcopy(layer).to(device) for layer in self.layers_after_pooling()]

        def encode(batch: Batch) -> Tensor:
            return self.vectors(token_states(backbone, batch), batch["attention_mask"], projections)

        return encode

    def fast_backbone(self, device: torch.device, dtype: torch.dtype, tokens: int) -> PreTrainedModel:
        """Copy the transformer for inference; see `frozen`."""
        backbone: Any = copy.deepcopy(self.backbone).eval().requires_grad_(False)
        backbone = backbone.to(device, dtype)
        if device.type == "cpu":
            make_fast(backbone, dtype, tokens)
        return backbone

    def description(self) -> dict[str, Any]:
        """Say what decides a vector beside weights, tokenizer, similarity and prompt."""
        said = {
            "architecture": _lasting(self.backbone.config.to_dict()),
            "padding_side": self.tokenizer.padding_side,
            "pooling": self.pooling.name,
            "projections": [projection.config() for projection in self.layers_after_pooling()],
        }
        return said | ({"selection": self.selection.fingerprint()} if self.selection else {})

    def write(self, folder: Path, card: str) -> None:
        """Write transformer, tokenizer, pooling and projections."""
        save_transformer_tower(self, folder, card)


def token_states(backbone: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run a transformer over a batch; returns the last layer's states, [texts, tokens, width].

    Positions are the batch's own, or are counted from a text's first token, also where padding stands before it, so that a
    text's states do not depend on how long its neighbours are.
    """
    mask = batch["attention_mask"]
    inputs: dict[str, Any] = {"input_ids": batch["input_ids"], "attention_mask": mask}
    if "position_ids" in batch:
        inputs["position_ids"] = batch["position_ids"]
    elif not bool(mask[:, 0].all()) and takes_positions(backbone):
        inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return backbone(**inputs, return_dict=True).last_hidden_state


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Drop what decides no vector from a config."""
    return {name: value for name, value in config.items() if name not in VOLATILE}
