"""How much was encoded, and how much was spared: counted wherever texts become vectors."""

from collections.abc import Callable


class Tally:
    """Counts texts.

    Attributes:
        encoded_texts: Texts that a tower has read.
        encoded_tokens: Their tokens, without padding.
        looked_up_texts: Texts whose vectors came from a table that was there already.
        changed: Called after every change.
    """

    def __init__(self) -> None:
        self.encoded_texts = self.encoded_tokens = self.looked_up_texts = 0
        self.changed: Callable[[], None] | None = None

    def encoded(self, texts: int, tokens: int) -> None:
        """Count a batch."""
        self.encoded_texts += texts
        self.encoded_tokens += tokens
        self._tell()

    def looked_up(self, texts: int) -> None:
        """Count texts that nothing had to be computed for."""
        self.looked_up_texts += texts
        self._tell()

    def _tell(self) -> None:
        if self.changed:
            self.changed()
