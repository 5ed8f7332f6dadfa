"""What an attribution explains: one number of a text's representation, whose gradient is taken."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.encoders.projection import Projection

Finish = Callable[[Tensor], Tensor]
"""What a tower does after pooling, [rows, width] -> [rows, dimension]: projections, and length 1 for a cosine."""

TARGETS = ("norm", "pooler_norm", "score", "margin")


class Target(ABC):
    """A function of a text's representation."""

    @abstractmethod
    def __call__(self, pooled: Tensor, finish: Finish, texts: np.ndarray) -> Tensor:
        """Compute the number that is explained.

        Args:
            pooled: Pooled token states, before projection and normalisation, [rows, width].
            finish: What the tower does after pooling.
            texts: Which text each row is a version of, [rows].

        Returns:
            One number a row, [rows].
        """


@dataclass(frozen=True)
class Norm(Target):
    """The L2 norm of the pooled states, the published target of all but BERT (Yao, Wang and Zuccon 2025).

    It is taken before normalisation: after it, it would be constant.
    """

    def __call__(self, pooled: Tensor, finish: Finish, texts: np.ndarray) -> Tensor:
        """Take the norm."""
        return torch.linalg.vector_norm(pooled, dim=-1)


@dataclass(frozen=True)
class PoolerNorm(Target):
    """The L2 norm after BERT's pooler, the published target of BERT.

    Args:
        pooler: See `read_pooler`; where the states are.
    """

    pooler: Projection

    def __call__(self, pooled: Tensor, finish: Finish, texts: np.ndarray) -> Tensor:
        """Take the norm."""
        return torch.linalg.vector_norm(self.pooler(pooled), dim=-1)


@dataclass(frozen=True)
class Along(Target):
    """The product of a text's vector with a constant one.

    With q the text's own vector: along p+ it is the score q.p+, and along p+ - p- the margin q.p+ - q.p-.

    Args:
        directions: The constant vectors, [texts, dimension].
    """

    directions: np.ndarray

    def __call__(self, pooled: Tensor, finish: Finish, texts: np.ndarray) -> Tensor:
        """Take the products."""
        directions = torch.from_numpy(self.directions[texts]).to(pooled)
        return (finish(pooled) * directions).sum(dim=-1)
