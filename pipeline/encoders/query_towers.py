"""Query towers that cost less than the document tower: fewer layers, fewer tokens, or another transformer altogether."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import BertConfig, BertModel

from pipeline.checks import one_of, whole_number
from pipeline.encoders.architecture import can_be_told_positions, keep_layers
from pipeline.encoders.backbones import WIDTH_OF_A_HEAD, Backbone, Bert
from pipeline.encoders.building import Parts, QueryTower, build_tower
from pipeline.encoders.checkpoints import fresh
from pipeline.encoders.folders import find_folder
from pipeline.encoders.pooling import POOLINGS, Own, Pooling, pooling_named
from pipeline.encoders.projection import Projection
from pipeline.encoders.rarity import inverse_document_frequencies
from pipeline.encoders.selection import TokenSelection, checked_delta
from pipeline.encoders.tower import Tower
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError

LONGEST = 512
FROM_NOTHING = 3e-3
"""The learning rate of random weights: what suits pre-trained ones would leave them nearly as they were drawn."""


class LayerSubset(QueryTower):
    """A query tower of some of the document tower's layers, with weights of its own.

    Args:
        layers: `first 2`, `last 2`, `ends 2` (half of them from either end), `alternate` (every second one, the first among them), or a list such as [0, 1, 10, 11].

    Raises:
        UserError: When the words are not understood.
    """

    def __init__(self, layers: str | Sequence[int]) -> None:
        self.layers = layers

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make two towers and take layers out of the query's."""
        query = parts.tower("query")
        keep_layers(query.backbone, chosen_layers(self.layers, query.backbone.config.num_hidden_layers))
        return query, parts.tower("document")


class Selective(LayerSubset):
    """A query tower that reads only the rarest tokens of a text, over some or all of the document tower's layers.

    The tokens that are kept have the positions that they have in the whole text.
    Rarity is the inverse document frequency in the training texts; a token that is in none of them is the rarest.

    Args:
        delta: Share of the tokens that is kept, above 0 and at most 1.
        layers: As in `LayerSubset`, or `all`.
    """

    def __init__(self, delta: float, layers: str | Sequence[int]) -> None:
        super().__init__(layers)
        self.delta = checked_delta(delta)

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make two towers and score the vocabulary for the query's."""
        query, document = super().towers(parts)
        assert isinstance(query, TransformerTower)
        if not can_be_told_positions(query.backbone):
            raise UserError(
                f"query=selective keeps the positions that tokens have in the whole text, and a "
                f"{query.backbone.config.model_type} model cannot be told them; choose another query tower."
            )
        scores = inverse_document_frequencies(query.tokenizer, parts.texts, "query=selective")
        scores[query.tokenizer.special_ids] = float("inf")
        query.selection = TokenSelection(self.delta, scores)
        return query, document


class Miniature(QueryTower):
    """A small BERT for the queries: one of the grid of L layers x H wide (Turc et al. 2019), or its like.

    Args:
        layers: L.
        width: H, a multiple of 64; there are H / 64 heads.
        init: `pretrained`, or `random`: drawn from the seed, with the document tower's tokenizer.
        path: Folder of a pre-trained one; None takes `google/bert_uncased_L-…_H-…_A-…` from the model hub.
        pooling: How token states become one vector, or the name of such a way.
        projection: Dimension of a linear layer after the pooling, to bridge to the document tower's; None for none.
    """

    def __init__(
        self, layers: int, width: int, init: str, path: str | None, pooling: Pooling | str, projection: int | None
    ) -> None:
        self.layers = whole_number("query.layers", layers)
        self.width = whole_number("query.width", width)
        if width % WIDTH_OF_A_HEAD:
            raise UserError(f"query.width={width} must be a multiple of {WIDTH_OF_A_HEAD}, the width of a head.")
        self.init = one_of("query.init", init, ("pretrained", "random"))
        if path is not None and init == "random":
            raise UserError(f"query.path={path} would not be read, as query.init=random; give query.init=pretrained.")
        self.path, self.pooling = path, _pooling(pooling)
        self.projection = None if projection is None else whole_number("query.projection", projection)

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the document tower, and a small BERT beside it."""
        document = parts.tower("document")
        if self.init == "pretrained":
            return self._pretrained(parts, document), document
        length = min(document.max_length, LONGEST)
        config = BertConfig(
            vocab_size=document.tokenizer.size,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.width // WIDTH_OF_A_HEAD,
            intermediate_size=4 * self.width,
            max_position_embeddings=LONGEST,
        )
        projections = [] if self.projection is None else [Projection.fresh(self.width, self.projection, parts.seed)]
        query = TransformerTower(
            fresh(BertModel, config, parts.seed, {"add_pooling_layer": False}),
            document.tokenizer.cut_to(length),
            self.pooling,
            projections,
            document.similarity,
            document.prompts,
            document.title_separator,
        )
        query.learning_rate = FROM_NOTHING
        query.drawn += ["transformer", *(["projection"] if projections else [])]
        return query, document

    def _pretrained(self, parts: Parts, document: Tower) -> Tower:
        heads = self.width // WIDTH_OF_A_HEAD
        path = self.path or f"google/bert_uncased_L-{self.layers}_H-{self.width}_A-{heads}"
        try:
            folder = find_folder(path)
        except UserError as error:
            reason = str(error).partition(";")[0].rstrip(".")
            raise UserError(f"{reason}; give a downloaded copy as query.path=FOLDER, or query.init=random.") from error
        query = Other(Bert(str(folder)), self.pooling, self.projection).query(parts, document)
        found = (query.backbone.config.num_hidden_layers, query.width)
        if found != (self.layers, self.width):
            raise UserError(
                f"{path} has {found[0]} layers and is {found[1]} wide, where query.layers={self.layers} and "
                f"query.width={self.width} ask for another; set them to what it has."
            )
        return query


class Other(QueryTower):
    """A query tower from a checkpoint of its own, with its own tokenizer, pooling and dimension.

    Args:
        backbone: Where it comes from.
        pooling: How its token states become one vector, or the wish for its own; or the name of a pooling.
        projection: Dimension of a linear layer after the pooling, to bridge to the document tower's; None for none.
    """

    def __init__(self, backbone: Backbone, pooling: Pooling | Own | str, projection: int | None) -> None:
        if not isinstance(backbone, Backbone):
            raise UserError(f"query.backbone={backbone} must say where it comes from; give query.backbone.path=FOLDER.")
        self.backbone, self.pooling = backbone, _pooling(pooling)
        self.projection = None if projection is None else whole_number("query.projection", projection)

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the two towers."""
        document = parts.tower("document")
        return self.query(parts, document), document

    def query(self, parts: Parts, document: Tower) -> TransformerTower:
        """Make the query tower for a document tower."""
        settings = replace(parts.settings, projection=self.projection, similarity=document.similarity, max_length=None)
        return build_tower(self.backbone, self.pooling, settings, "query", parts.seed, document.prompts["query"])


def _pooling(pooling: Any) -> Any:
    """Take a pooling as it is, or make the one of this name."""
    return pooling if isinstance(pooling, Pooling | Own) else pooling_named(one_of("query.pooling", pooling, POOLINGS))


class SharedProjection(QueryTower):
    """Two towers of any kind that share one linear layer at their end (Dong et al. 2022, ADE-SPL).

    Args:
        towers: Makes the towers.
        dimension: Of the vectors after the shared layer.
    """

    def __init__(self, towers: QueryTower, dimension: int) -> None:
        self.inner = towers
        self.projected = whole_number("query.dimension", dimension)

    def copies(self, backbone: Backbone) -> bool:
        """A layer that both share leaves copies alike."""
        return self.inner.copies(backbone)

    def towers(self, parts: Parts) -> tuple[Tower, Tower]:
        """Make the towers and end both with the same layer."""
        towers = self.inner.towers(parts)
        if not all(isinstance(tower, TransformerTower) for tower in towers) or towers[0] is towers[1]:
            raise UserError(
                "query=shared_projection joins two towers with transformers; choose query.towers among those."
            )
        query, document = towers
        if query.dimension != document.dimension:
            raise UserError(
                f"query=shared_projection needs towers of one dimension before it, and they have {query.dimension} "
                f"(query) and {document.dimension} (document); choose other towers."
            )
        shared = Projection.fresh(query.dimension, self.projected, parts.seed)
        for tower in towers:
            assert isinstance(tower, TransformerTower)
            tower.projections.append(shared)
            tower.drawn.append("shared projection")
        return query, document


def chosen_layers(layers: str | Sequence[int], depth: int) -> list[int]:
    """Number the layers that a user's words mean, from 0.

    Args:
        layers: `all`, `first k`, `last k`, `ends k`, `alternate`, or numbers in ascending order.
        depth: How many there are.

    Raises:
        UserError: When the words are not understood, or a layer is out of range or repeated.
    """
    if isinstance(layers, str):
        word, _, count = layers.partition(" ")
        if word in ("first", "last", "ends") and count.isdigit():
            if not 1 <= int(count) <= depth:
                raise UserError(
                    f"query.layers={layers} is out of range: there are {depth} layers, so choose 1 to {depth}."
                )
            first = {"first": int(count), "last": 0, "ends": -(-int(count) // 2)}[word]
            return [*range(first), *range(depth - int(count) + first, depth)]
        if layers in ("all", "alternate"):
            return list(range(0, depth, 1 if layers == "all" else 2))
        raise UserError(
            f"query.layers={layers} is not understood; write 'first 2', 'last 2', 'ends 2', alternate, or a list such as [0,1,10,11]."
        )
    if not isinstance(layers, Sequence):
        raise UserError(
            f"query.layers={layers} is not understood; write 'first {layers}' or a list such as [0,1,10,11]."
        )
    chosen: list[int] = list(layers)  # type: ignore[arg-type]
    if not chosen or not all(type(layer) is int and 0 <= layer < depth for layer in chosen):
        raise UserError(f"query.layers={chosen} is out of range: the layers are numbered 0 to {depth - 1}.")
    if sorted(set(chosen)) != chosen:
        raise UserError(
            f"query.layers={chosen} repeats a layer or is not in ascending order; name each once, in order."
        )
    return chosen
