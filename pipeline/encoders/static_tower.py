"""A tower without a transformer: a text's vector is the mean of its tokens' weighted vectors. Encoding is a look-up."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.encoders.backbones import Kind
from pipeline.encoders.layout import Similarity
from pipeline.encoders.saving import save_static_tower
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.tower import Batch, Tower
from pipeline.errors import UserError


class StaticTower(Tower):
    """The mean of a text's token vectors, each times a learned weight: an encoder of no layers (L = 0).

    v = 1/n sum_t w_t e_t over the n tokens of the text, normalised when the similarity is cosine. A text without any
    token has the vector 0.

    Args:
        vectors: e, one row for each entry of the vocabulary, float32 [vocabulary, dimension].
        weights: w, float32 [vocabulary].
        tokenizer: Without special tokens, whose vectors would be a constant.
        similarity: `cosine` normalises the vectors, `dot` leaves them.
        prompts: What is put before a text of each kind.
        title_separator: What stands between a document's title and its text.

    Raises:
        UserError: When the vocabulary and the vectors do not match.
    """

    padded: ClassVar[bool] = False
    learning_rate = 3e-3  # a token's vector is in few steps, and nothing is built on top of it

    def __init__(
        self,
        vectors: Tensor,
        weights: Tensor,
        tokenizer: TextTokenizer,
        similarity: Similarity = "cosine",
        prompts: dict[Kind, str] | None = None,
        title_separator: str = " ",
    ) -> None:
        super().__init__(tokenizer, similarity, prompts, title_separator)
        if tokenizer.size > len(vectors) or len(vectors) != len(weights):
            raise UserError(
                f"The tokenizer knows {tokenizer.size:,} tokens, but there are {len(vectors):,} token vectors with "
                f"{len(weights):,} weights; take a tokenizer and vectors that belong together."
            )
        self.token_vectors = nn.Parameter(vectors.float())
        # A column: the gradient of a view of it could not be sparse.
        self.token_weights = nn.Parameter(weights.float()[:, None])
        self.sparse = False
        """Whether gradients are sparse: only the rows of a step's tokens, for an optimiser that can take them."""

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.token_vectors.shape[1]

    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Put tokenized texts one after the other; see `in_a_row`."""
        return in_a_row(token_ids)

    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""
        ids, offsets = batch["input_ids"], batch["offsets"]
        weights = functional.embedding(ids, self.token_weights, sparse=self.sparse).squeeze(1)
        sums = functional.embedding_bag(
            ids, self.token_vectors, offsets, mode="sum", per_sample_weights=weights, sparse=self.sparse
        )
        ends = torch.cat([offsets[1:], offsets.new_tensor([len(ids)])])
        return self._finished(sums / (ends - offsets).clamp(min=1)[:, None])

    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Copy the weighted vectors; always in float32, as a look-up gains nothing from less."""
        table = self.folded().to(device)
        mode = "sum" if self.similarity == "cosine" else "mean"  # a length that is divided away need not be right

        def encode(batch: Batch) -> Tensor:
            return self._finished(functional.embedding_bag(batch["input_ids"], table, batch["offsets"], mode=mode))

        return encode

    def folded(self) -> Tensor:
        """Multiply every token's vector by its weight: all that encoding needs, [vocabulary, dimension]."""
        return (self.token_vectors * self.token_weights).detach()

    def deciding_weights(self) -> dict[str, Tensor]:
        """Name the numbers that decide a vector, in the form that is saved."""
        return {"embedding.weight": self.folded()}

    def description(self) -> dict[str, Any]:
        """Say what decides a vector beside weights, tokenizer, similarity and prompt."""
        return {"architecture": "static"}

    def write(self, folder: Path, card: str) -> None:
        """Write the weighted token vectors and the tokenizer, as sentence-transformers' `StaticEmbedding`."""
        save_static_tower(self, folder, card)

    def _finished(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors


def in_a_row(token_ids: list[list[int]]) -> Batch:
    """Put tokenized texts one after the other: `input_ids` [tokens] and `offsets`, where each begins, [texts]."""
    lengths = np.fromiter(map(len, token_ids), dtype=np.int64, count=len(token_ids))
    ends = lengths.cumsum()
    flat = np.fromiter(chain.from_iterable(token_ids), dtype=np.int64, count=int(lengths.sum()))
    return {"input_ids": torch.from_numpy(flat), "offsets": torch.from_numpy(ends - lengths)}
