"""A static query tower over a document tower: token vectors that start from what the document tower knows."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipeline.checks import one_of
from pipeline.encoders.building import Parts, QueryTower
from pipeline.encoders.encoding import EncodingSettings, batches_by_length
from pipeline.encoders.rarity import inverse_document_frequencies
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.files import digest_of, locked
from pipeline.progress import progress

INITS = ("token_embeddings", "through_tower", "random")
WEIGHTS = ("idf", "equal")


class Static(QueryTower):
    """A query tower of token vectors alone, beside the document tower.

    Args:
        init: Where token vectors come from: `through_tower` (each entry of the vocabulary, alone, through the document
            tower), `token_embeddings` (the document tower's input embeddings) or `random`.
        weights: What they are weighed by at first: `idf` in the training texts, or all `equal`.
    """

    def __init__(self, init: str, weights: str) -> None:
        self.init = one_of("query.init", init, INITS)
        self.weights = one_of("query.weights", weights, WEIGHTS)

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the document tower, and the static one from it."""
        document = parts.tower("document")
        tokenizer = document.tokenizer.without_special_tokens()
        if self.weights == "idf":
            weights = torch.from_numpy(inverse_document_frequencies(tokenizer, parts.texts, "query.weights=idf"))
        else:
            weights = torch.ones(tokenizer.size)
        return static_tower(document, self._vectors(document, parts), weights), document

    def _vectors(self, document: TransformerTower, parts: Parts) -> torch.Tensor:
        """Make the token vectors, [vocabulary, dimension]."""
        size, dimension = document.tokenizer.size, document.dimension
        if self.init == "through_tower":
            return torch.from_numpy(vocabulary_vectors(document, parts.store))
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


def static_tower(document: Tower, vectors: torch.Tensor, weights: torch.Tensor) -> StaticTower:
    """Make a static tower of token vectors that goes with a document tower's tokenizer and prompts."""
    return StaticTower(
        vectors,
        weights,
        document.tokenizer.without_special_tokens(),
        document.similarity,
        document.prompts,
        document.title_separator,
    )


def vocabulary_vectors(tower: TransformerTower, store: Path | None) -> np.ndarray:
    """Encode every entry of a tower's vocabulary as a text of this one token, between the special tokens of a text.

    Args:
        tower: Frozen.
        store: The folder shared between runs, where the vectors are kept; None keeps them nowhere.

    Returns:
        float32 [vocabulary, dimension].
    """
    settings = EncodingSettings(precision="auto")
    if store is None:
        return _encoded(tower, settings)
    key = digest_of({"tower": tower.fingerprint("document"), "precision": settings.precision})[:32]
    path = Path(store) / "vocabularies" / f"{key}.safetensors"
    with locked(path, "the vectors of a vocabulary"):
        if not path.exists():
            beside = path.with_name(f".{key}.part")
            save_file({"vectors": torch.from_numpy(_encoded(tower, settings))}, beside)
            beside.replace(path)
    return load_file(path)["vectors"].numpy()


def _encoded(tower: TransformerTower, settings: EncodingSettings) -> np.ndarray:
    before, after = tower.tokenizer.around()
    texts = [[*before, token, *after] for token in range(tower.tokenizer.size)]
    vectors = np.empty((len(texts), tower.dimension), dtype=np.float32)
    encode = tower.frozen(settings.torch_device, settings.dtype, settings.tokens)
    with progress("Encoding the vocabulary", len(texts), "tokens") as advance, torch.inference_mode():
        for rows in batches_by_length([len(text) for text in texts], settings.tokens):
            batch = {
                name: value.to(settings.torch_device) for name, value in tower.pad([texts[i] for i in rows]).items()
            }
            vectors[rows] = encode(batch).float().cpu().numpy()
            advance(len(rows))
    return vectors
