"""What a model knows that has only counted words: the bar under which a masked-language-model loss says nothing."""

import numpy as np


def unigram_log_probabilities(counts: np.ndarray, ordinary_ids: np.ndarray) -> np.ndarray:
    """Estimate how probable tokens are wherever they stand, by method C of Witten and Bell (1991, equation 9).

    Of N tokens seen, T of them different, a token seen c times has c / (N + T), and the Z that never were share
    T / (N + T) evenly; where none is unseen, c / N. Adding one to every count would flatter a model instead: in a small
    text nearly all of it would go to the unseen.

    Args:
        counts: How often every token id was seen in training, int64 [vocabulary].
        ordinary_ids: Ids that may be seen at all, special tokens left out, int64 [tokens].

    Returns:
        Natural logarithms, float64 [vocabulary]; minus infinity for ids that are not ordinary.
    """
    seen = counts[ordinary_ids].astype(np.float64)
    total, kinds = seen.sum(), np.count_nonzero(seen)
    unseen = len(seen) - kinds
    if unseen:
        probabilities = np.where(seen > 0, seen / (total + kinds), kinds / (total + kinds) / unseen)
    else:
        probabilities = seen / total
    logarithms = np.full(len(counts), -np.inf)
    logarithms[ordinary_ids] = np.log(probabilities)
    return logarithms
