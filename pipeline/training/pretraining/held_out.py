"""What a masked language model has learned, on texts that it was not trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.encoders.pooling import Mean
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.evaluation.geometry import mean_pairwise_cosine
from pipeline.evaluation.statistics import Interval, bootstrap
from pipeline.training.pretraining.batches import HELD_OUT_MASKS, MaskedBatch, Rows
from pipeline.training.pretraining.head import logits_at
from pipeline.training.pretraining.masking import Masking
from pipeline.training.pretraining.tokens import tokenised

ROWS_AT_ONCE = 16
LEAST_TEXTS = 5
"""Fewer held-out texts than this give no interval."""
LEAST_SHARE = 0.2
"""The share of the unigram entropy that has to be gone. A 4-layer model that 14 million tokens had brought from 7 nats to
6.3 was a worse start for retrieval than random weights: to be a little better than word frequencies is not enough."""


@dataclass(frozen=True)
class Measured:
    """A masked language model on the held-out texts.

    Attributes:
        losses: Of every masked token, in nats, float64 [masked tokens].
        right: Whether the likeliest token was the right one, bool [masked tokens].
        anisotropy: Mean pairwise cosine of the texts' mean-pooled vectors.
    """

    losses: np.ndarray
    right: np.ndarray
    anisotropy: float

    def row(self) -> dict[str, float]:
        """Give the figures that are drawn and logged."""
        return {
            "held_out_loss": float(self.losses.mean()),
            "held_out_accuracy": float(self.right.mean()),
            "anisotropy": self.anisotropy,
        }


class HeldOut:
    """Held-out texts, each cut to one row, under masks that stay the same.

    Args:
        texts: The texts.
        tokenizer: Knows the length of a row.
        masking: Hides tokens.
        log_probabilities: Of each id by its frequency in the training text, float64 [vocabulary].
        encoding: How texts are encoded for their vectors.
        seed: Fixes the masks.
    """

    def __init__(
        self,
        texts: list[str],
        tokenizer: TextTokenizer,
        masking: Masking,
        log_probabilities: np.ndarray,
        encoding: EncodingSettings,
        seed: int,
    ) -> None:
        self.texts, self.tokenizer, self.encoding = texts, tokenizer, encoding
        width = tokenizer.max_length - sum(map(len, tokenizer.around()))
        pieces = list(tokenised(tokenizer, texts, width))
        self.batch = Rows.of(pieces, tokenizer).masked(masking, np.random.default_rng([seed, HELD_OUT_MASKS]), -1)
        self.text_of = np.repeat(np.arange(len(texts)), self.batch.chosen.sum(axis=1))
        """Which text each masked token is of, int64 [masked tokens]."""
        self.unigram_losses = -log_probabilities[self.batch.targets]
        """What the same tokens cost one who knows frequencies alone, float64 [masked tokens]."""

    @property
    def unigram_entropy(self) -> float:
        """Mean of `unigram_losses`, in nats."""
        return float(self.unigram_losses.mean())

    def measure(self, model: PreTrainedModel, device: torch.device) -> Measured:
        """Measure a masked language model as it is, in single precision and without dropout."""
        training = model.training
        model.eval()
        losses, right = [], []
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            for start in range(0, len(self.texts), ROWS_AT_ONCE):
                part = self.batch.part(slice(start, start + ROWS_AT_ONCE))
                logits, targets = logits_of(model, part, device)
                losses.append(functional.cross_entropy(logits, targets, reduction="none").double().cpu())
                right.append((logits.argmax(dim=-1) == targets).cpu())
        encoder: Any = model.base_model
        tower = TransformerTower(encoder, self.tokenizer, Mean())
        vectors = encode(tower, self.texts, "document", self.encoding)
        model.train(training)
        return Measured(torch.cat(losses).numpy(), torch.cat(right).numpy(), mean_pairwise_cosine(vectors))

    def gain(self, losses: np.ndarray) -> Interval:
        """Compare losses with word frequencies, token by token.

        Args:
            losses: Of every masked token, float64 [masked tokens].

        Returns:
            The mean of unigram loss minus loss, in nats, with a 95% bootstrap interval that draws whole texts.
        """
        return bootstrap(self.unigram_losses - losses, self.text_of)

    def learned(self, losses: np.ndarray) -> bool:
        """Tell whether a loss is clearly below the unigram entropy, so that its model may be called pre-trained.

        It is where the paired difference, less a fifth of the unigram entropy (`LEAST_SHARE`), is above 0 with its whole
        95% interval (bootstrap over texts). That the interval of the difference itself excludes 0 follows.
        """
        return bootstrap((1 - LEAST_SHARE) * self.unigram_losses - losses, self.text_of).low > 0


def logits_of(model: PreTrainedModel, batch: MaskedBatch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the logits of a batch's hidden tokens in float32, [masked, vocabulary], and give the tokens, [masked]."""
    arrays: Any = (batch.shown, batch.attention, batch.chosen, batch.targets)
    shown, attention, chosen, targets = (torch.as_tensor(array, device=device) for array in arrays)
    return logits_at(model, shown, attention, chosen).float(), targets
