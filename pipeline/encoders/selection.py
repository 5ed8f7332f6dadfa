"""Keeping only the tokens of a text that say most: shorter queries, cheaper to encode."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import UserError

SCORES = "token_scores.safetensors"
SELECTIVE = "tandem.SelectiveTransformer"
"""The type, in `modules.json`, of a transformer that reads selected tokens only.

sentence-transformers has no such module; it refuses this one by its name, where it would read a plain `Transformer` without
the selection and give other vectors.
"""


@dataclass(frozen=True, eq=False)
class TokenSelection:
    """Keeps the round(delta * length) highest-scoring tokens of a text, in their order, and its special tokens.

    Leonhardt et al. 2023, "Efficient Neural Ranking using Forward Indexes and Lightweight Encoders", section 5.2. What a
    token scores depends on the token alone, so the scores are one number for each entry of the vocabulary.

    Attributes:
        delta: Share of the tokens that is kept, above 0 and at most 1.
        scores: Higher is kept sooner, float32 [vocabulary]; infinite for special tokens, which are always kept.
        renumbered: Whether positions are counted anew over the kept tokens, as before folders said so; the paper keeps
            those of the whole text.
    """

    delta: float
    scores: np.ndarray
    renumbered: bool = False

    def places(self, token_ids: list[int]) -> np.ndarray:
        """Select from one text's token ids; of equal scores the earlier token stays. At least one token does.

        Returns:
            Where the kept tokens stand in the text, ascending.
        """
        ids = np.asarray(token_ids, dtype=np.int64)
        scores = self.scores[ids]
        special = np.isinf(scores)
        content = np.flatnonzero(~special)
        count = max(1, round(self.delta * len(content)))
        best = content[np.argsort(-scores[content], kind="stable")[:count]]
        return np.sort(np.concatenate([np.flatnonzero(special), best]))

    def fingerprint(self) -> dict[str, object]:
        """Say what decides the selection."""
        scores = hashlib.sha256(np.ascontiguousarray(self.scores).data).hexdigest()
        return {"delta": self.delta, "scores": scores} | ({} if self.renumbered else {"positions": "of the text"})

    def save(self, folder: Path) -> None:
        """Write the scores."""
        said = {"delta": torch.tensor(self.delta), "renumbered": torch.tensor(self.renumbered)}
        save_file({"scores": torch.from_numpy(self.scores.copy()), **said}, folder / SCORES)

    @classmethod
    def load(cls, folder: Path) -> "TokenSelection | None":
        """Read what `save` wrote; None where there is none."""
        if not (folder / SCORES).exists():
            return None
        saved = load_file(folder / SCORES)
        renumbered = bool(saved.get("renumbered", True))
        return cls(round(float(saved["delta"]), 6), saved["scores"].numpy(), renumbered)


def checked_delta(delta: float) -> float:
    """Refuse a share of tokens that is none.

    Raises:
        UserError: When it is not above 0 and at most 1.
    """
    if not isinstance(delta, int | float) or isinstance(delta, bool) or not 0 < delta <= 1:
        raise UserError(f"query.delta={delta} must be above 0 and at most 1.")
    return delta
