"""What a tower says of every entry of its vocabulary alone: the token vectors of a static tower."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipeline.encoders.encoding import EncodingSettings, batches_by_length
from pipeline.encoders.static_tower import StaticTower
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.files import digest_of, locked
from pipeline.progress import progress


def static_tower(document: Tower, vectors: torch.Tensor, weights: torch.Tensor, spelled: str = "") -> StaticTower:
    """Make a static tower of token vectors that goes with a document tower's tokenizer and prompts.

    Args:
        document: The document tower.
        vectors: float32 [vocabulary, dimension].
        weights: float32 [vocabulary].
        spelled: Special tokens that are averaged too, written before every text: `StaticEmbedding` adds none itself.
    """
    return StaticTower(
        vectors,
        weights,
        document.tokenizer.without_special_tokens(),
        document.similarity,
        {kind: spelled + prompt for kind, prompt in document.prompts.items()},
        document.title_separator,
    )


def vocabulary_vectors(tower: TransformerTower, settings: EncodingSettings, store: Path | None) -> np.ndarray:
    """Encode every entry of a tower's vocabulary as a text of this one token, between the special tokens of a text.

    Args:
        tower: Frozen.
        settings: Precision, batching and device.
        store: The folder shared between runs, where the vectors are kept; None keeps them nowhere.

    Returns:
        float32 [vocabulary, dimension].
    """
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
