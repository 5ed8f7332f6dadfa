"""The probes, each for many members at once: seeds, learning rates, numbers of candidates, tasks.

The last axis of every parameter is made of columns, each owned by one member; members share every matrix product.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.probing.linear.data import RowData

Parameters = dict[str, Tensor]
HIDDEN = 32
"""Units of the small MLP."""
RANK = 32
"""Of the bilinear probe's matrix."""
SHARPNESS = 10.0
"""How much faster than other parameters the logarithm of the inverse temperature moves: it has far to go."""


@dataclass(frozen=True)
class Member:
    """One probe of a family.

    Attributes:
        candidates: N.
        seed: Of its first weights.
        learning_rate: Of its training.
        control: Whether it learns the control task in place of the real one.
    """

    candidates: int
    seed: int
    learning_rate: float
    control: bool = False

    def generator(self) -> torch.Generator:
        """Draw first weights that do not depend on who else is trained."""
        return torch.Generator().manual_seed(self.seed * 1000 + self.candidates)


class ProbeFamily(ABC):
    """One way to say which candidate answers a question."""

    name: ClassVar[str]
    standardised: ClassVar[bool] = True
    """Whether it reads standardised states, or those that the model gives."""
    order_is_learned: ClassVar[bool] = True
    """Whether training can change which candidate comes first."""
    sees_question: ClassVar[bool] = True
    """Whether it can compare a candidate with the question at all."""

    @abstractmethod
    def start(self, member: Member, width: int) -> Parameters:
        """Draw the first parameters of one member, each [..., columns]."""

    @abstractmethod
    def logits(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Compute [layers, rows, members, most], candidates in the order shown; -inf where a member has no more.

        Args:
            parameters: Of these members, each [layers, ..., columns].
            members: Those of the same N beside each other.
            data: The rows.
        """

    @abstractmethod
    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count what one member keeps for each layer and step, to see how many fit into memory."""


class Concat(ProbeFamily):
    """The first paper's: a linear map of [q; p_1; ...; p_N] to N classes.

    What a text adds at each place to each class is computed once for a text, W_j p, and gathered by row.
    """

    name = "concat"
    sees_question = False  # what the question adds to a class is the same whatever the candidates are

    def start(self, member: Member, width: int) -> Parameters:
        """Draw as `torch.nn.Linear` does: uniform within 1 / sqrt(inputs)."""
        n, generator = member.candidates, member.generator()
        bound = ((n + 1) * width) ** -0.5

        def draw(*shape: int) -> Tensor:
            return (torch.rand(shape, generator=generator) * 2 - 1) * bound

        # Columns of `documents`: place, then class.
        return {"queries": draw(width, n), "documents": draw(width, n * n), "bias": draw(n)}

    def logits(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Add up what the question and each candidate contribute."""
        groups = [(n, len(list(group))) for n, group in groupby(members, key=lambda member: member.candidates)]
        by_query = (data.queries @ parameters["queries"] + parameters["bias"][:, None]).split(
            [n * count for n, count in groups], dim=2
        )
        layers, width = data.documents.shape[0], data.documents.shape[2]
        weights = parameters["documents"].split([n * n * count for n, count in groups], dim=2)
        # From member, place, class to place, member, class: what is gathered together lies together.
        by_place = [
            weight.view(layers, width, count, n, n).transpose(2, 3).reshape(layers, width, -1)
            for weight, (n, count) in zip(weights, groups, strict=True)
        ]
        sizes = [n * count for n, count in groups for _ in range(n)]
        by_document = iter((data.documents @ torch.cat(by_place, dim=2)).split(sizes, dim=2))
        found = []
        for (n, count), of_query in zip(groups, by_query, strict=True):
            shown = data.shown(n)
            total = of_query.index_select(1, data.query_of)
            for place in range(n):
                total = total + next(by_document).index_select(1, shown[:, place])
            total = total.view(layers, len(data), count, n)
            found.append(functional.pad(total, (0, data.most - n), value=-torch.inf))
        return torch.cat(found, dim=2)

    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count projections and their sums."""
        return 3 * candidates * (texts * candidates + rows * 3)


class Scorer(ProbeFamily):
    """A probe that gives each candidate a score of its own: the order of the candidates does not matter."""

    def logits(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Score every document of the rows, and put the scores in the order in which each N shows them.

        The positive comes first in the rows; equal scores must not make it win.
        """
        scores = self.scores(parameters, members, data)
        columns = torch.stack([data.columns(member.candidates) for member in members], dim=1)
        shown = scores.gather(3, columns.clamp(min=0).expand(len(scores), -1, -1, -1))
        return shown.masked_fill(columns < 0, -torch.inf)

    @abstractmethod
    def scores(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Score all documents of every row, [layers, rows, members, most]."""


class Dot(Scorer):
    """The dot product of the states as the model gives them; only a temperature is learned, so the order is theirs."""

    name = "dot"
    standardised = False
    order_is_learned = False

    def start(self, member: Member, width: int) -> Parameters:
        """Start with nothing that could be drawn: the logarithm of the inverse temperature."""
        return {"sharpness": torch.full((1,), 2.0 / SHARPNESS)}

    def scores(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Multiply the products by each member's inverse temperature."""
        products = data.computed(self.name, self.products)
        return products.unsqueeze(2) * (SHARPNESS * parameters["sharpness"]).exp()[:, None, :, None]

    def products(self, data: RowData) -> Tensor:
        """Compute what the states say without a probe, [layers, rows, most]."""
        return torch.einsum("lrd,lrcd->lrc", *of_rows(data))

    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count scores."""
        return 5 * rows * candidates


class Cosine(Dot):
    """The cosine of the states as the model gives them; only a temperature is learned, so the order is theirs."""

    name = "cosine"

    def products(self, data: RowData) -> Tensor:
        """Compute cosines, [layers, rows, most]."""
        normalised = (functional.normalize(states, dim=-1) for states in of_rows(data))
        return torch.einsum("lrd,lrcd->lrc", *normalised)


class Product(Scorer):
    """A linear map of the elementwise product of question and candidate: a dot product with weighed coordinates."""

    name = "product"

    def start(self, member: Member, width: int) -> Parameters:
        """Start near the unweighed dot product."""
        noise = torch.randn(width, 1, generator=member.generator())
        return {"weight": 1 + 0.1 * noise}

    def scores(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Weigh the products, which all members share."""
        products = data.computed(self.name, self.products)
        layers, rows, most, width = products.shape
        scores = products.view(layers, rows * most, width) @ parameters["weight"]
        return scores.view(layers, rows, most, -1).transpose(2, 3)

    def products(self, data: RowData) -> Tensor:
        """Multiply, [layers, rows, most, width], with coordinates as large as those of the states."""
        queries, documents = of_rows(data)
        return queries.unsqueeze(2) * documents * documents.shape[-1] ** 0.5

    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count scores."""
        return 5 * rows * candidates


class Bilinear(Scorer):
    """q^T W p with W = A B^T of rank 32: A^T q and B^T p are computed once for a text, and multiplied by row.

    A full W has so many numbers that their updates, not the states, take the time; and it learns rows by heart.
    """

    name = "bilinear"

    def start(self, member: Member, width: int) -> Parameters:
        """Start with A = B, drawn so that the score is about the dot product."""
        drawn = torch.randn(width, RANK, generator=member.generator()) / RANK**0.5
        return {"queries": drawn, "documents": drawn.clone()}

    def scores(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Map all texts by all members' A and B at once, and multiply what belongs to one row."""
        by_query = (data.queries @ parameters["queries"]).index_select(1, data.query_of)
        by_document = data.documents @ parameters["documents"]
        layers, rows = by_query.shape[:2]
        found = [
            (by_query * by_document.index_select(1, documents)).view(layers, rows, len(members), RANK).sum(dim=3)
            for documents in data.document_of.unbind(dim=1)
        ]
        return torch.stack(found, dim=3)

    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count mapped texts, and their products by row."""
        return RANK * (2 * texts + 3 * rows * candidates)


class Mlp(Scorer):
    """One hidden layer over [q; p]: its two halves are computed once for a text, and added by row."""

    name = "mlp"

    def start(self, member: Member, width: int) -> Parameters:
        """Draw so that hidden units and scores have about the size of 1."""
        generator = member.generator()
        return {
            "queries": torch.randn(width, HIDDEN, generator=generator),
            "documents": torch.randn(width, HIDDEN, generator=generator),
            "bias": torch.zeros(HIDDEN),
            "out": torch.randn(HIDDEN, generator=generator) / HIDDEN**0.5,
        }

    def scores(self, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
        """Add the halves, and map what is left of them above 0."""
        by_query = data.queries @ parameters["queries"] + parameters["bias"][:, None]
        by_query = by_query.index_select(1, data.query_of)
        by_document = data.documents @ parameters["documents"]
        layers, rows = by_query.shape[:2]
        found = []
        for documents in data.document_of.unbind(dim=1):
            hidden = (by_query + by_document.index_select(1, documents)).relu()
            weighed = hidden * parameters["out"][:, None]
            found.append(weighed.view(layers, rows, len(members), HIDDEN).sum(dim=3))
        return torch.stack(found, dim=3)

    def numbers(self, candidates: int, width: int, rows: int, texts: int) -> int:
        """Count hidden units."""
        return 4 * rows * candidates * HIDDEN


FAMILIES: dict[str, ProbeFamily] = {
    family.name: family for family in (Concat(), Dot(), Cosine(), Bilinear(), Product(), Mlp())
}


def of_rows(data: RowData) -> tuple[Tensor, Tensor]:
    """Give the states of every row: its question [layers, rows, width], its documents [layers, rows, most, width]."""
    rows, most = data.document_of.shape
    documents = data.documents.index_select(1, data.document_of.flatten())
    return data.queries.index_select(1, data.query_of), documents.view(len(documents), rows, most, -1)
