"""What a step of training minimises: a loss of the queries' vectors and their documents', and the level of its chance."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional

from pipeline.checks import number, one_of
from pipeline.training.losses import NORMALISATIONS, chance_level, contrastive_loss


class Objective(ABC):
    """A loss of vectors.

    Attributes:
        negatives: Whether documents that are not a query's own count.
    """

    negatives: bool = False

    @abstractmethod
    def loss(self, queries: Tensor, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            queries: Their vectors, float32 [queries, dimension].
            documents: The vectors of the documents of all ranks, float32 [documents, dimension].
            targets: Column of each query's own document, [queries], int64.
            masked: True where a document does not count for a query, [queries, documents]; never a target.
        """

    @abstractmethod
    def chance(self, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Give the loss of a query tower that has collapsed; arguments as in `loss`."""


class Contrastive(Objective):
    """Each query's own document against all others of the batch; see `contrastive_loss`.

    Args:
        temperature: Divides the scores.
        normalisation: `row` or `global`.
    """

    negatives = True

    def __init__(self, temperature: float, normalisation: str) -> None:
        self.temperature = number("stage.temperature", temperature, above=True)
        self.normalisation = one_of("stage.normalisation", normalisation, NORMALISATIONS)

    def loss(self, queries: Tensor, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Score every query against every document."""
        return contrastive_loss(queries @ documents.T, targets, masked, self.temperature, self.normalisation)

    def chance(self, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Give the loss of equal scores."""
        return chance_level(masked, self.normalisation)


class Distillation(Objective):
    """Every query's vector against the vector it shall be, and nothing else."""

    def loss(self, queries: Tensor, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Compare each query with its own document."""
        return self.distance(queries, documents[targets])

    def chance(self, documents: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
        """Give the loss of a tower that gives every text the mean direction of the targets, at their mean length."""
        wanted = documents[targets]
        constant = functional.normalize(wanted.mean(dim=0), dim=0) * wanted.norm(dim=1).mean()
        return self.distance(constant.expand_as(wanted), wanted)

    @abstractmethod
    def distance(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Compute the mean distance between rows, a scalar; both float32 [rows, dimension]."""


class SquaredError(Distillation):
    """mean_i |v_i - t_i|^2 (Wang and Hong 2023; LEAF, Vujanic and Rueckstiess 2025); for unit vectors 2 - 2 cosine."""

    def distance(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Compute the mean squared distance."""
        return (vectors - wanted).square().sum(dim=1).mean()


class EmbeddingDivergence(Distillation):
    """mean_i KL( softmax(t_i / T) || softmax(v_i / T) ) over a vector's dimensions (KALE, Campos et al. 2023, section 4).

    Args:
        temperature: T.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = number("stage.temperature", temperature, above=True)

    def distance(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Compute the mean divergence."""
        logits, goal = ((rows / self.temperature).log_softmax(dim=1) for rows in (vectors, wanted))
        return functional.kl_div(logits, goal, reduction="batchmean", log_target=True)


OBJECTIVES = ("contrastive", "squared_error", "embedding_divergence")


def objective(name: str, temperature: float, normalisation: str) -> Objective:
    """Make an objective by its name.

    Raises:
        UserError: When the name or a value cannot be meant.
    """
    one_of("stage.objective", name, OBJECTIVES)
    if name == "squared_error":
        return SquaredError()
    return (
        EmbeddingDivergence(temperature) if name == "embedding_divergence" else Contrastive(temperature, normalisation)
    )
