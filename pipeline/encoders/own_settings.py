"""What a checkpoint says of its own use: what its folder saved, or what it was published with; and departures from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.encoders.backbones import Backbone
from pipeline.encoders.layout import Conventions, Layout, Similarity
from pipeline.encoders.pooling import AsSaved, Mean, Own, Pooling, pooling_named
from pipeline.errors import UserError


@dataclass(frozen=True)
class OwnSettings:
    """How a checkpoint's vectors are made; None where neither its folder nor those who published it say so.

    Attributes:
        where: What to call the checkpoint in a sentence.
        saved: Whether its folder says it; else it is what was published.
        pooling: How token states become one vector.
        similarity: What the vectors are compared by.
        max_length: Tokens a text is cut to.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
        append_eos: Whether every text ends with the end-of-sequence token; a saved tokenizer has that in it.
        title_separator: Stands between a document's title and text.
        of_prompts: What is to be said of the prompts that were read.
    """

    where: str
    saved: bool
    pooling: Pooling | None
    similarity: Similarity | None
    max_length: int | None
    query_prompt: str | None
    document_prompt: str | None
    append_eos: bool | None
    title_separator: str | None
    of_prompts: Sequence[str] = ()

    @classmethod
    def of(cls, backbone: Backbone, layout: Layout | None, named_length: int | None) -> "OwnSettings":
        """Read what a folder saved, or else what the backbone's family was published with.

        Args:
            backbone: The checkpoint.
            layout: What its sentence-transformers folder says; None for another folder.
            named_length: The maximum length that the folder names, if it names one.
        """
        where = str(backbone.path or backbone.name)
        if layout is None:
            return cls(
                backbone.name if backbone.pooling else where,
                False,
                pooling_named(backbone.pooling) if backbone.pooling else None,
                backbone.similarity,
                backbone.max_length,
                backbone.query_prompt,
                backbone.document_prompt,
                backbone.append_eos,
                backbone.title_separator,
            )
        return cls(
            where,
            True,
            layout.pooling,
            layout.similarity if layout.similarity_named else backbone.similarity,
            named_length,
            layout.query_prompt,
            layout.document_prompt,
            None,
            backbone.title_separator if layout.title_separator is None else layout.title_separator,
            layout.notes,
        )

    def pooling_for(self, wish: Pooling | Own) -> Pooling:
        """Choose the pooling: the one that is named, or the checkpoint's own, or the mean.

        Raises:
            UserError: When the folder's own is asked for and it has saved none.
        """
        if isinstance(wish, Pooling):
            return wish
        if isinstance(wish, AsSaved) and not self.saved:
            raise UserError(
                f"pooling=as_saved: {self.where} is no sentence-transformers folder, so it has saved no pooling; "
                "choose cls, mean, last or max."
            )
        return self.pooling or Mean()

    def keeps_layers(self, wish: Pooling | Own) -> bool:
        """Whether the layers that were saved after the pooling go with a wish: they read the saved pooling's vectors."""
        return not self.saved or self.pooling is None or self.pooling_for(wish).name == self.pooling.name

    def notes(self, wish: Pooling | Own, named: Mapping[str, Any], layers: int) -> list[str]:
        """Say what was taken without being named, and what was named in the place of the checkpoint's own.

        Args:
            wish: The pooling that is asked for.
            named: What is named of the other settings, by its name; None: nothing.
            layers: How many layers the folder saved after its pooling.
        """
        found = []
        if isinstance(wish, Own) and self.pooling is None:
            found.append(
                f"No pooling was named, and {self.where} has none of its own: the mean is taken; pooling=cls, last or "
                "max takes another."
            )
        if self.saved and self.similarity is None and named.get("similarity") is None:
            found.append(_unnamed_similarity(self.where))
        if named.get("document_prompt") is None:
            found += self.of_prompts
        return [*found, *self._departures(wish, named, layers)]

    def _departures(self, wish: Pooling | Own, named: Mapping[str, Any], layers: int) -> list[str]:
        """Say, in one sentence, what was named in the place of the checkpoint's own."""
        own = {name: getattr(self, name) for name in named} | {"pooling": self.pooling and self.pooling.name}
        taken = {**named, "pooling": wish.name if isinstance(wish, Pooling) else None}
        # An empty prompt is none, so that a prompt is no departure from it.
        other = [name for name in taken if own[name] not in (None, "") and taken[name] not in (None, own[name])]
        if not other:
            return []
        without = "" if self.keeps_layers(wish) or not layers else " without the layers that were saved after its own"
        return [
            f"{self.where} was {'saved' if self.saved else 'published'} with {_words(own, other)}; instead of that is"
            f" taken {_words(taken, other)}{without}."
        ]


def left_open(where: str, conventions: Conventions) -> list[str]:
    """Say what a folder leaves open that is opened as it was saved.

    Args:
        where: What to call it.
        conventions: What it says.
    """
    found = [] if conventions.similarity_named else [_unnamed_similarity(where)]
    return [*found, *conventions.notes]


def _unnamed_similarity(where: str) -> str:
    return (
        f"{where} names no similarity and does not end in Normalize: cosine is taken, as sentence-transformers does; "
        "encoder.similarity=dot takes the inner product, for which many such models were trained."
    )


def _words(settings: Mapping[str, Any], names: list[str]) -> str:
    """Write settings as a command line does."""
    return ", ".join(f"{name}={_written(settings[name])}" for name in names)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and not value.isalpha() else str(value)
