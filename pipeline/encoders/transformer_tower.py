"""A tower with a transformer inside: backbone, pooling, and perhaps layers before and after it."""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.encoders.architecture import first_position, takes_positions
from pipeline.encoders.backbones import Kind
from pipeline.encoders.cpu import make_fast
from pipeline.encoders.head import Head, PromptedIds, pooled_tokens
from pipeline.encoders.layout import Similarity
from pipeline.encoders.pooling import Pooling
from pipeline.encoders.projection import Layer
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
    """Backbone, pooling, optional layers around it, and normalisation when the similarity is cosine.

    Args:
        backbone: The transformer.
        tokenizer: Its tokenizer.
        pooling: How token states become one vector.
        projections: Layers after the pooling, usually none or one `Projection`.
        similarity: `cosine` normalises the vectors, `dot` leaves them.
        prompts: What is put before a text of each kind.
        title_separator: What stands between a document's title and its text.
        selection: Which of a text's tokens are kept; None keeps all.
        token_layers: Layers over the state of each token, before the pooling.

    Raises:
        UserError: When a layer expects another width than it gets.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: TextTokenizer,
        pooling: Pooling,
        projections: Sequence[Layer] = (),
        similarity: Similarity = "cosine",
        prompts: dict[Kind, str] | None = None,
        title_separator: str = " ",
        selection: TokenSelection | None = None,
        token_layers: Sequence[Layer] = (),
    ) -> None:
        super().__init__(tokenizer, similarity, prompts, title_separator)
        self.backbone = backbone
        self.pooling = pooling
        self.token_layers = nn.ModuleList(token_layers)
        self.projections = nn.ModuleList(projections)
        self.selection = selection
        self.width = _width(backbone)
        """Width of the token states."""
        self.head.dimension(self.width)

    @property
    def transformer(self) -> PreTrainedModel:
        """The backbone."""
        return self.backbone

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.head.dimension(self.width)

    @property
    def head(self) -> Head:
        """What is done with the token states."""
        return Head(list(self.token_layers), self.pooling, self.layers_after_pooling(), self.similarity)  # type: ignore[arg-type]

    def layers_after_pooling(self) -> list[Layer]:
        """The layers that vectors pass through, usually none or one projection."""
        return list(self.projections)  # type: ignore[arg-type]

    def token_ids(self, texts: list[str], kind: Kind) -> list[list[int]]:
        """Tokenize texts with the prompt of their kind; each has one token at least.

        Raises:
            UserError: When the transformer has no embedding of a token; many a tokenizer has more entries than are used.
        """
        found = [ids or [self.tokenizer.lone_id] for ids in super().token_ids(texts, kind)]
        for ids in found if self._without_embedding else ():
            for token in self._without_embedding.intersection(ids):
                raise UserError(
                    f"A text has the token {self.tokenizer.backend.id_to_token(token)!r}, of the id {token}, of which the"
                    " transformer has no embedding; take a tokenizer and a transformer that belong together."
                )
        if self.pooling.include_prompt or not self.prompts[kind]:
            return found
        length = self.tokenizer.prompt_length(self.prompts[kind])
        return [PromptedIds(ids, length) for ids in found]

    @cached_property
    def _without_embedding(self) -> frozenset[int]:
        """The tokenizer's ids of which the transformer has no embedding."""
        table = self.backbone.get_input_embeddings()
        return self.tokenizer.ids_from(table.num_embeddings) if isinstance(table, nn.Embedding) else frozenset()

    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Make a batch of tokenized texts, of the tokens that are selected.

        Returns:
            `input_ids` and `attention_mask`, both [texts, longest]; of a selection also `position_ids`, where each token
            stood in the whole text; where prompts are left out of the pooling also `prompt_length`, [texts].
        """
        prompts = [ids.prompt if isinstance(ids, PromptedIds) else 0 for ids in token_ids]
        if self.selection is None:
            return self.tokenizer.pad(token_ids) | _lengths(prompts)
        places = [self.selection.places(ids) for ids in token_ids]
        batch = self.tokenizer.pad(
            [[ids[place] for place in kept] for ids, kept in zip(token_ids, places, strict=True)]
        )
        batch |= _lengths([int((kept < prompt).sum()) for kept, prompt in zip(places, prompts, strict=True)])
        if self.selection.renumbered:
            return batch
        positions = torch.zeros_like(batch["input_ids"])
        positions[batch["attention_mask"].bool()] = torch.from_numpy(np.concatenate(places))
        return batch | {"position_ids": positions + first_position(self.backbone)}

    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""
        return self.head.vectors(token_states(self.backbone, batch), pooled_tokens(batch))

    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Copy the transformer in the wished precision, on a CPU with packed weights; the layers stay in float32."""
        backbone, head = self.fast_backbone(device, dtype, tokens), self.head.copied(device)
        return lambda batch: head.vectors(token_states(backbone, batch), pooled_tokens(batch))

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
            "projections": [layer.description() for layer in self.head.projections],
        }
        if len(self.token_layers):
            said["token_layers"] = [layer.description() for layer in self.head.token_layers]
        return said | ({"selection": self.selection.fingerprint()} if self.selection else {})

    def write(self, folder: Path, card: str) -> None:
        """Write transformer, tokenizer, pooling and the layers around it."""
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


@torch.no_grad()
def _width(backbone: PreTrainedModel) -> int:
    """Find the width of what comes out, by one token: OPT-350m's is half of what its config calls the hidden size."""
    training = backbone.training
    token = torch.zeros((1, 1), dtype=torch.long, device=backbone.device)
    states = token_states(backbone.eval(), {"input_ids": token, "attention_mask": torch.ones_like(token)})
    backbone.train(training)
    return states.shape[-1]


def _lengths(prompts: list[int]) -> Batch:
    """Say how many tokens of each text are left out of the pooling, where any are."""
    return {"prompt_length": torch.tensor(prompts)} if any(prompts) else {}


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Drop what decides no vector from a config."""
    return {name: value for name, value in config.items() if name not in VOLATILE}
