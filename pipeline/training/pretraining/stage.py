"""The settings of masked language modelling."""

from typing import Any

from pipeline.checks import number, one_of, whole_number
from pipeline.errors import UserError
from pipeline.training.pretraining.held_out import LEAST_TEXTS
from pipeline.training.schedule import DECAYS


class MaskedLanguageModelling:
    """Masked language modelling on the documents of a split (Devlin et al. 2019), with no queries and no judgements.

    Args:
        name: What the stage is called in the run folder.
        batch_size: Rows in a step, over all ranks; a row is a block of text of `encoder.max_length` tokens.
        learning_rate: After the warm-up.
        weight_decay: Of AdamW.
        warmup_steps: Steps until the learning rate is reached.
        decay: `linear`, `cosine` or `constant`.
        dropout: Of every dropout in the encoder while it trains; None: the checkpoint's own.
        whole_words: Whether a word's pieces are hidden together.
        mask_share: Of a row's tokens that the model has to tell.
        split: Whose documents are the text.
        held_out_share: Of the documents, chosen by the hash of their text, that are not trained on but measured on.
        held_out_split: The split whose documents are measured on instead, those left out that are trained on.
        held_out_texts: Texts that are measured on, at most.
        validate_every: Steps between measurements.
        checkpoint_every: Steps between checkpoints.

    Raises:
        UserError: When a value cannot be meant.
    """

    def __init__(
        self,
        name: str,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        decay: str,
        dropout: float | None,
        whole_words: bool,
        mask_share: float,
        split: str,
        held_out_share: float,
        held_out_split: str | None,
        held_out_texts: int,
        validate_every: int,
        checkpoint_every: int,
    ) -> None:
        self.name = name
        self.batch_size = whole_number("stage.batch_size", batch_size)
        self.learning_rate = number("stage.learning_rate", learning_rate, above=True)
        self.weight_decay = number("stage.weight_decay", weight_decay)
        self.warmup_steps = whole_number("stage.warmup_steps", warmup_steps, least=0)
        self.decay = one_of("stage.decay", decay, DECAYS)
        self.dropout = None if dropout is None else below_one("stage.dropout", dropout)
        if not isinstance(whole_words, bool):
            raise UserError(f"stage.whole_words={whole_words} must be true or false.")
        self.whole_words = whole_words
        self.mask_share = below_one("stage.mask_share", mask_share, above=True)
        self.split, self.held_out_split = split, held_out_split
        self.held_out_share = below_one("stage.held_out_share", held_out_share, above=held_out_split is None)
        self.held_out_texts = whole_number("stage.held_out_texts", held_out_texts, least=LEAST_TEXTS)
        self.validate_every = whole_number("stage.validate_every", validate_every)
        self.checkpoint_every = whole_number("stage.checkpoint_every", checkpoint_every)

    def decides(self) -> dict[str, Any]:
        """Name the settings that decide what comes out."""
        elsewhere = ("name", "checkpoint_every")
        return {name: value for name, value in vars(self).items() if name not in elsewhere}


def below_one(setting: str, value: object, *, above: bool = False) -> float:
    """Return a share: a number from 0, or above it, to below 1.

    Raises:
        UserError: When the value is something else.
    """
    found = number(setting, value, above=above)
    if found >= 1:
        raise UserError(f"{setting}={value} must be below 1.")
    return found
