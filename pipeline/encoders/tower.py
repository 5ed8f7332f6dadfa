"""A tower: one encoder from texts to vectors, whatever is inside."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.checks import one_of
from pipeline.encoders.backbones import Kind
from pipeline.encoders.layout import Similarity
from pipeline.encoders.saving import whole_folder
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.files import digest_of

if TYPE_CHECKING:
    from pipeline.encoders.encoding import EncodingSettings

Batch = dict[str, Tensor]


class Tower(nn.Module, ABC):
    """One encoder from texts to vectors, normalised when the similarity is cosine.

    Args:
        tokenizer: Turns texts into token ids, and holds the maximum length.
        similarity: `cosine` normalises the vectors, `dot` leaves them.
        prompts: What is put before a text of each kind.
        title_separator: What stands between a document's title and its text, for those who join them.
    """

    padded: ClassVar[bool] = True
    """Whether a batch of texts of unlike length is filled up to the longest."""
    learning_rate: float | None = None
    """What suits the tower's weights whatever suits a pre-trained transformer's; None: the same."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        similarity: Similarity = "cosine",
        prompts: dict[Kind, str] | None = None,
        title_separator: str = " ",
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.similarity: Similarity = one_of("encoder.similarity", similarity, ("cosine", "dot"))  # type: ignore[assignment]
        self.prompts: dict[Kind, str] = {"query": "", "document": "", **(prompts or {})}
        self.title_separator = title_separator
        self.truncated = 0
        """How many texts were cut to the maximum length so far."""
        self.drawn: list[str] = []
        """Parts whose weights were drawn at random when the tower was built, not read from a checkpoint."""
        self.notes: list[str] = list(tokenizer.notes)
        """Sentences on how it makes vectors: what was taken unnamed, and what in the place of the checkpoint's own."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Width of the vectors."""

    @abstractmethod
    def pad(self, token_ids: list[list[int]]) -> Batch:
        """Make a batch of tokenized texts, for `forward`."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""

    @abstractmethod
    def frozen(self, device: torch.device, dtype: torch.dtype, tokens: int) -> Callable[[Batch], Tensor]:
        """Make a copy that only encodes, as fast as the device allows; the tower itself stays as it is.

        Args:
            device: Where the copy computes.
            dtype: In which precision.
            tokens: About how many tokens a batch will have.

        Returns:
            What turns batches made by `pad`, on the device, into vectors [texts, dimension].
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Say what decides a vector beside weights, tokenizer, similarity and prompt."""

    @abstractmethod
    def write(self, folder: Path, card: str) -> None:
        """Write the files of a sentence-transformers folder, with `card` as `README.md`, into an empty folder."""

    @property
    def transformer(self) -> PreTrainedModel | None:
        """The transformer inside, if there is one."""
        return None

    @property
    def max_length(self) -> int:
        """Tokens a text is cut to, special ones included."""
        return self.tokenizer.max_length

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def served(self, settings: "EncodingSettings") -> "Tower":
        """Give the tower that serves once training is over: itself, unless it was trained in another form.

        Args:
            settings: How that is encoded which then is looked up.
        """
        return self

    def token_ids(self, texts: list[str], kind: Kind) -> list[list[int]]:
        """Tokenize texts with the prompt of their kind; those that are cut are counted in `truncated`."""
        prompt = self.prompts[kind]
        ids, cut = self.tokenizer.token_ids([prompt + text for text in texts] if prompt else texts)
        self.truncated += cut
        return ids

    def fingerprint(self, kind: Kind) -> str:
        """Fingerprint everything that decides a vector of this kind (SHA-256, hexadecimal).

        A tower that was saved and opened again has the same fingerprint, so that runs share tables.
        """
        weights = hashlib.sha256()
        for name, value in self.deciding_weights().items():
            weights.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            weights.update(memoryview(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
        return digest_of(
            {
                "weights": weights.hexdigest(),
                "tokenizer": self.tokenizer.fingerprint(),
                "max_length": self.max_length,
                "similarity": self.similarity,
                "prompt": self.prompts[kind],
                "title_separator": self.title_separator,
                **self.description(),
            }
        )

    def deciding_weights(self) -> dict[str, Tensor]:
        """Name the numbers that decide a vector, in the form that is saved."""
        return self.state_dict()

    def save(self, folder: Path, card: str) -> None:
        """Save as a sentence-transformers folder that gives these vectors; whole or absent.

        Args:
            folder: The folder to make; one that is there is replaced.
            card: The text of its `README.md`.
        """
        with whole_folder(folder) as beside:
            self.write(beside, card)
