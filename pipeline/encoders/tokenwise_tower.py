"""A tower that sends every token through a transformer alone: what a static tower is while it is trained this way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from pipeline.encoders.building import Parts, QueryTower
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.static_tower import StaticTower, in_a_row
from pipeline.encoders.tower import Batch, Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.encoders.vocabulary import static_tower, vocabulary_vectors


class TokenwiseTower(Tower):
    """The mean of a text's token vectors, each made by a transformer tower of that token alone.

    LightRetriever (Ma et al. 2025, section 3): in training the transformer is behind every token; afterwards the token
    vectors are cached, and `served` is a look-up. A text without any token has the vector 0.

    Args:
        tower: What encodes each token, between the special tokens of a text. Its weights are trained.
    """

    padded: ClassVar[bool] = False

    def __init__(self, tower: TransformerTower) -> None:
        super().__init__(
            tower.tokenizer.without_special_tokens(), tower.similarity, tower.prompts, tower.title_separator
        )
        self.tower = tower

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.tower.dimension

    @property
    def transformer(self) -> PreTrainedModel:
        """The transformer behind every token."""
        return self.tower.backbone

    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Put tokenized texts one after the other; see `in_a_row`."""
        return in_a_row(token_ids)

    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""
        return self._mean(self.tower, batch, len(batch["input_ids"]))

    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Copy the transformer."""
        encode = self.tower.frozen(device, dtype, tokens)
        at_once = max(1, tokens // (1 + sum(map(len, self.tower.tokenizer.around()))))
        return lambda batch: self._mean(encode, batch, at_once)

    def _mean(self, encode: Callable[[Batch], Tensor], batch: Batch, at_once: int) -> Tensor:
        """Encode every token of a batch once, so many at a time, and average by text."""
        ids, offsets = batch["input_ids"], batch["offsets"]
        if not len(ids):
            return torch.zeros(len(offsets), self.dimension, device=ids.device)
        before, after = self.tower.tokenizer.around()
        tokens, places = ids.unique(return_inverse=True)
        vectors = []
        for some in tokens.split(at_once):
            inputs = self.tower.pad([[*before, token, *after] for token in some.tolist()])
            vectors.append(encode({name: value.to(ids.device) for name, value in inputs.items()}).float())
        means = functional.embedding_bag(places, torch.cat(vectors), offsets, mode="mean")
        return functional.normalize(means, dim=-1) if self.similarity == "cosine" else means

    def served(self, settings: EncodingSettings) -> StaticTower:
        """Cache the vectors of the whole vocabulary."""
        vectors = torch.from_numpy(vocabulary_vectors(self.tower, settings, None))
        return static_tower(self.tower, vectors, torch.ones(len(vectors)))

    def description(self) -> dict[str, Any]:
        """Say what decides a vector beside weights, tokenizer, similarity and prompt."""
        return {"tokenwise": self.tower.description()}

    def write(self, folder: Path, card: str) -> None:
        """Write the static tower that serves."""
        self.served(EncodingSettings()).write(folder, card)


class LightRetriever(QueryTower):
    """A query tower of token vectors that the document tower itself makes, one token at a time, while it is trained."""

    own_weights = False

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make one transformer tower, and a query tower of its tokens: both share its weights."""
        document = parts.tower("document")
        return TokenwiseTower(document), document
