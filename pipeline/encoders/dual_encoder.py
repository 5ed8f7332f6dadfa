"""A dual encoder: the tower of queries beside the tower of documents."""

from pathlib import Path

from torch import nn

from pipeline.encoders.backbones import Kind
from pipeline.encoders.layout import Similarity
from pipeline.encoders.loading import open_towers
from pipeline.encoders.saving import save_router, whole_folder
from pipeline.encoders.tower import Tower
from pipeline.errors import UserError


class DualEncoder(nn.Module):
    """Two towers whose vectors are compared; symmetric when both are one object.

    The towers may differ in everything but dimension and similarity: tokenizer, architecture, pooling.

    Args:
        query: The tower of queries.
        document: The tower of documents.

    Raises:
        UserError: When dimensions or similarities differ.
    """

    def __init__(self, query: Tower, document: Tower) -> None:
        super().__init__()
        if query.dimension != document.dimension:
            raise UserError(
                f"The query tower gives vectors of {query.dimension} dimensions and the document tower of "
                f"{document.dimension}; bridge them by query.projection, or by encoder.projection for both."
            )
        if query.similarity != document.similarity:
            raise UserError(
                f"The query tower is made for {query.similarity} and the document tower for {document.similarity}; "
                "set encoder.similarity."
            )
        self.query = query
        self.document = document

    @property
    def symmetric(self) -> bool:
        """Whether one tower serves both sides."""
        return self.query is self.document

    @property
    def similarity(self) -> Similarity:
        """How vectors are compared."""
        return self.document.similarity

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self.document.dimension

    @property
    def drawn(self) -> str:
        """Say which weights were drawn at random when the towers were built; empty where all were read."""
        if self.symmetric:
            return ", ".join(self.document.drawn)
        towers = (("query tower", self.query), ("document tower", self.document))
        return "; ".join(f"{name}: {', '.join(tower.drawn)}" for name, tower in towers if tower.drawn)

    @property
    def notes(self) -> list[str]:
        """What is to be said of how the towers make vectors, each sentence once."""
        return list(dict.fromkeys([*self.query.notes, *self.document.notes]))

    def tower(self, kind: Kind) -> Tower:
        """Give the tower of one side."""
        return self.query if kind == "query" else self.document

    def save(self, folder: Path, card: str) -> None:
        """Save as a sentence-transformers folder: of two towers a Router, with each tower a folder of its own within it.

        Args:
            folder: The folder to make, whole or absent; one that is there is replaced.
            card: The text of the `README.md`.
        """
        if self.symmetric:
            self.document.save(folder, card)
            return
        with whole_folder(folder) as beside:
            for kind, tower in (("query", self.query), ("document", self.document)):
                (beside / kind).mkdir()
                tower.write(beside / kind, card)
            save_router(beside, self.query, self.document, card)

    @classmethod
    def load(cls, folder: Path, *, trust_remote_code: bool = False, max_length: int | None = None) -> "DualEncoder":
        """Open what `save` wrote, or any sentence-transformers folder: as a pair where it has a Router, else as one tower.

        Raises:
            UserError: When the folder is half written, unsafe or of an unknown kind.
        """
        return cls(*open_towers(folder, trust_remote_code=trust_remote_code, max_length=max_length))
