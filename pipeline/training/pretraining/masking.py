"""Which tokens are hidden from a model, and by what (Devlin et al. 2019, section 3.1 and appendix A.1)."""

from dataclasses import dataclass

import numpy as np

SHOWN_AS_MASK = 0.8
SHOWN_AS_ANOTHER = 0.1
"""Of the chosen tokens, the others are left as they are; the model has to tell all of them."""


@dataclass(frozen=True)
class Masking:
    """Chooses tokens and hides them.

    Attributes:
        share: Of a row's ordinary tokens that is chosen, rounded, at least one token.
        whole_words: Whether a word's pieces are chosen together. Words are taken in random order while they fit, so that
            slightly fewer tokens than `share` may be chosen.
        mask_id: The mask token.
        ordinary_ids: What a token may be exchanged for, int64 [tokens].
    """

    share: float
    whole_words: bool
    mask_id: int
    ordinary_ids: np.ndarray

    def __call__(
        self, ids: np.ndarray, begins: np.ndarray, ordinary: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hide tokens of a batch.

        Args:
            ids: Token ids, int64 [rows, tokens].
            begins: Whether a token begins a word, bool [rows, tokens].
            ordinary: Whether it is a token of the text, neither special nor padding, bool [rows, tokens].
            generator: Decides everything.

        Returns:
            What the model sees, int64 [rows, tokens], and which tokens it has to tell, bool [rows, tokens].
        """
        chosen = np.zeros(ids.shape, dtype=bool)
        for row in range(len(ids)):
            chosen[row, self._choose(begins[row], np.flatnonzero(ordinary[row]), generator)] = True
        fate = generator.random(ids.shape)
        others = generator.choice(self.ordinary_ids, size=ids.shape)
        shown = np.where(chosen & (fate < SHOWN_AS_MASK), self.mask_id, ids)
        exchanged = chosen & (fate >= SHOWN_AS_MASK) & (fate < SHOWN_AS_MASK + SHOWN_AS_ANOTHER)
        return np.where(exchanged, others, shown), chosen

    def _choose(self, begins: np.ndarray, places: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Choose among the places of a row's ordinary tokens."""
        if not len(places):
            return places
        left = max(1, round(self.share * len(places)))
        if not self.whole_words:
            return generator.permutation(places)[:left]
        # A word that a block's border, or a special token, cuts off begins there.
        first = begins[places] | np.concatenate([[True], np.diff(places) > 1])
        words = np.split(places, np.flatnonzero(first)[1:])
        order = generator.permutation(len(words)).tolist()
        taken: list[np.ndarray] = []
        for place in order:
            if len(words[place]) <= left:
                taken.append(words[place])
                left -= len(words[place])
                if not left:
                    break
        return np.concatenate(taken or [words[order[0]]])
