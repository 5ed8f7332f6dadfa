"""A tower: one encoder from texts to vectors."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from pipeline.checks import one_of
from pipeline.encoders.architecture import takes_positions
from pipeline.encoders.backbones import Kind, Local
from pipeline.encoders.layout import MODULES, Similarity
from pipeline.encoders.pooling import Pooling
from pipeline.encoders.projection import Projection
from pipeline.encoders.saving import save_tower, whole_folder
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.errors import UserError
from pipeline.files import digest_of

VOLATILE = (
    "transformers_version",
    "_name_or_path",
    "architectures",
    "dtype",
    "use_cache",
    "torch_dtype",
    "id2label",
    "label2id",
)
"""Entries of a model's config that change on saving, or with the library, and decide no vector."""


class Tower(nn.Module):
    """One encoder: backbone, pooling, optional projection, and normalisation when the similarity is cosine.

    Args:
        backbone: The transformer.
        tokenizer: Its tokenizer, which holds the maximum length.
        pooling: How token states become one vector.
        projections: Linear layers after the pooling, usually none or one.
        similarity: `cosine` normalises the vectors, `dot` leaves them.
        prompts: What is put before a text of each kind.
        title_separator: What stands between a document's title and its text, for those who join them.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: TextTokenizer,
        pooling: Pooling,
        projections: Sequence[Projection] = (),
        similarity: Similarity = "cosine",
        prompts: dict[Kind, str] | None = None,
        title_separator: str = " ",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.projections = nn.ModuleList(projections)
        self.similarity: Similarity = one_of("encoder.similarity", similarity, ("cosine", "dot"))  # type: ignore[assignment]
        self.prompts: dict[Kind, str] = {"query": "", "document": "", **(prompts or {})}
        self.title_separator = title_separator
        self.truncated = 0
        """How many texts were cut to the maximum length so far."""
        widths = [self.width, *(projection.outputs for projection in projections)]
        for projection, width in zip(projections, widths, strict=False):
            if projection.inputs != width:
                raise UserError(f"A projection expects vectors of width {projection.inputs} but gets {width}.")

    @property
    def width(self) -> int:
        """Width of the token states."""
        return self.backbone.config.hidden_size

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.layers_after_pooling()[-1].outputs if len(self.projections) else self.width

    def layers_after_pooling(self) -> list[Projection]:
        """The projections, usually none or one."""
        return [projection for projection in self.projections if isinstance(projection, Projection)]

    @property
    def max_length(self) -> int:
        """Tokens a text is cut to, special ones included."""
        return self.tokenizer.max_length

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def token_ids(self, texts: list[str], kind: Kind) -> list[list[int]]:
        """Tokenize texts with the prompt of their kind; those that are cut are counted in `truncated`."""
        prompt = self.prompts[kind]
        ids, cut = self.tokenizer.token_ids([prompt + text for text in texts] if prompt else texts)
        self.truncated += cut
        return ids

    def pad(self, token_ids: list[list[int]]) -> dict[str, Tensor]:
        """Make a batch of tokenized texts: `input_ids` and `attention_mask`, both [texts, longest]."""
        return self.tokenizer.pad(token_ids)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Turn a batch made by `pad` into vectors [texts, dimension]."""
        return self.vectors(token_states(self.backbone, batch), batch["attention_mask"])

    def vectors(self, states: Tensor, mask: Tensor, projections: Sequence[Projection] | None = None) -> Tensor:
        """Turn token states [texts, tokens, width] into vectors [texts, dimension].

        Args:
            states: What the last layer says of each token.
            mask: 1 for real tokens and 0 for padding, [texts, tokens].
            projections: Copies of the tower's own that lie where the states are; None takes its own.
        """
        vectors = self.pooling(states, mask)
        for projection in self.layers_after_pooling() if projections is None else projections:
            vectors = projection(vectors)
        return functional.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def fingerprint(self, kind: Kind) -> str:
        """Fingerprint everything that decides a vector of this kind (SHA-256, hexadecimal).

        A tower that was saved and opened again has the same fingerprint, so that runs share tables.
        """
        weights = hashlib.sha256()
        for name, value in self.state_dict().items():
            weights.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            weights.update(memoryview(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
        return digest_of(
            {
                "weights": weights.hexdigest(),
                "architecture": _lasting(self.backbone.config.to_dict()),
                "tokenizer": self.tokenizer.fingerprint(),
                "padding_side": self.tokenizer.padding_side,
                "max_length": self.max_length,
                "pooling": self.pooling.name,
                "projections": [projection.config() for projection in self.layers_after_pooling()],
                "similarity": self.similarity,
                "prompt": self.prompts[kind],
                "title_separator": self.title_separator,
            }
        )

    def save(self, folder: Path, card: str) -> None:
        """Save as a sentence-transformers folder that gives these vectors; whole or absent.

        Args:
            folder: The folder to make; one that is there is replaced.
            card: The text of its `README.md`.
        """
        with whole_folder(folder) as beside:
            save_tower(self, beside, card)

    @classmethod
    def load(cls, folder: Path, *, trust_remote_code: bool = False, max_length: int | None = None) -> "Tower":
        """Open a sentence-transformers folder (Transformer, Pooling, and perhaps Dense and Normalize).

        Args:
            folder: The folder, or a name on the model hub.
            trust_remote_code: Whether the folder's own Python code may run.
            max_length: Tokens a text is cut to; None takes the folder's.

        Raises:
            UserError: When the folder is half written, unsafe or of an unknown kind.
        """
        loaded = Local(str(folder), trust_remote_code=trust_remote_code).load("document", 0, max_length)
        layout = loaded.layout
        if layout is None:
            raise UserError(
                f"{folder} is no sentence-transformers folder (it has no {MODULES}), so its pooling is unknown; "
                "use it as a backbone instead, with backbone=local and a pooling."
            )
        return cls(
            loaded.model,
            loaded.tokenizer,
            layout.pooling,
            layout.projections,
            layout.similarity,
            {"query": layout.query_prompt, "document": layout.document_prompt},
            layout.title_separator or " ",
        )


def token_states(backbone: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run a transformer over a batch; returns the last layer's states, [texts, tokens, width].

    Positions are counted from a text's first token, also where padding stands before it, so that a text's states do not
    depend on how long its neighbours are.
    """
    mask = batch["attention_mask"]
    inputs: dict[str, Any] = {"input_ids": batch["input_ids"], "attention_mask": mask}
    if not bool(mask[:, 0].all()) and takes_positions(backbone):
        inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return backbone(**inputs, return_dict=True).last_hidden_state


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Drop what decides no vector from a config."""
    return {name: value for name, value in config.items() if name not in VOLATILE}
