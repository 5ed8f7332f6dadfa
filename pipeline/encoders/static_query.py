"""A static query tower over a document tower: token vectors that start from what the document tower knows."""

import torch

from pipeline.checks import one_of
from pipeline.encoders.building import Parts, QueryTower
from pipeline.encoders.rarity import inverse_document_frequencies
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.encoders.vocabulary import static_tower, vocabulary_vectors
from pipeline.errors import UserError

INITS = ("token_embeddings", "through_tower", "random")
WEIGHTS = ("idf", "equal")


class Static(QueryTower):
    """A query tower of token vectors alone, beside the document tower.

    Args:
        init: Where token vectors come from: `through_tower` (each entry of the vocabulary, alone, through the document
            tower), `token_embeddings` (the document tower's input embeddings) or `random`.
        weights: What they are weighed by at first: `idf` in the training texts, or all `equal`.
        special_tokens: Whether [CLS] and [SEP] are averaged too, as DAFT's authors do.

    Raises:
        UserError: When a value cannot be meant.
    """

    def __init__(self, init: str, weights: str, special_tokens: bool = False) -> None:
        self.init = one_of("query.init", init, INITS)
        self.weights = one_of("query.weights", weights, WEIGHTS)
        if not isinstance(special_tokens, bool):
            raise UserError(f"query.special_tokens={special_tokens} must be true or false.")
        self.special_tokens = special_tokens

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the document tower, and the static one from it."""
        document = parts.tower("document")
        tokenizer = document.tokenizer if self.special_tokens else document.tokenizer.without_special_tokens()
        if self.weights == "idf":
            weights = torch.from_numpy(inverse_document_frequencies(tokenizer, parts.texts, "query.weights=idf"))
        else:
            weights = torch.ones(tokenizer.size)
        spelled = document.tokenizer.special_prompt() if self.special_tokens else ""
        query = static_tower(document, self._vectors(document, parts), weights, spelled)
        if self.init == "random" or "transformer" in document.drawn:
            query.drawn.append("token vectors")
        return query, document

    def _vectors(self, document: TransformerTower, parts: Parts) -> torch.Tensor:
        """Make the token vectors, [vocabulary, dimension]."""
        size, dimension = document.tokenizer.size, document.dimension
        if self.init == "through_tower":
            return torch.from_numpy(vocabulary_vectors(document, parts.encoding, parts.store))
        if self.init == "random":
            generator = torch.Generator().manual_seed(parts.seed)
            return torch.randn(size, dimension, generator=generator) / dimension**0.5
        embeddings: torch.Tensor = document.transformer.get_input_embeddings().weight.detach()  # type: ignore[operator]
        if embeddings.shape[1] != dimension:
            raise UserError(
                f"query.init=token_embeddings gives vectors of {embeddings.shape[1]} dimensions and the document tower "
                f"has {dimension}; choose query.init=through_tower."
            )
        return embeddings[:size].clone()
