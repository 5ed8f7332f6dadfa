"""The gradient's integral along the path of one sub-layer, over panels that are divided where they miss what is known.

A panel is a piece of the path from 0 to 1. The integral over it of the gradient times the sub-layer's output is P at its
end less P at its start, which costs two runs without gradients: so each panel knows its own error, and the texts and
sub-layers where P turns sharply (see `divided`) get points where it does, and others none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.probing.attribution.above import Trace, Upper
from pipeline.probing.attribution.quadrature import Quadrature, Rule, divided

ROUNDING = 1e-6
"""A panel that misses this little of P(1) misses it for float32's sake and not for the quadrature's."""

Explained = Callable[[Tensor, np.ndarray], Tensor]
"""From pooled states [rows, width] and the text of each row [rows] to the number that is explained, [rows]."""


@dataclass(frozen=True)
class Panels:
    """Pieces of the paths of texts.

    Attributes:
        texts: Whose, a place in the batch, [panels].
        low: Where they start, float64 [panels].
        high: Where they end, float64 [panels].
        at_low: P there, float64 [panels].
        at_high: P there, float64 [panels].
    """

    texts: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_low: np.ndarray
    at_high: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, chosen: np.ndarray | slice) -> "Panels":
        """Take some of them."""
        return Panels(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def halves(self, middle: np.ndarray, at_middle: np.ndarray) -> "Panels":
        """Divide each, knowing P where they are divided."""
        parts = (
            (self.texts, self.texts),
            (self.low, middle),
            (middle, self.high),
            (self.at_low, at_middle),
            (at_middle, self.at_high),
        )
        return Panels(*(np.concatenate(part) for part in parts))


@dataclass(frozen=True)
class Integral:
    """What a path came to.

    Attributes:
        gradient: The mean of dP/dz over the path, 0 at padding, [texts, tokens, outputs].
        at_zero: P(0), float64 [texts].
        points: Where the gradient was taken, panels that were then divided included, int64 [texts].
    """

    gradient: Tensor
    at_zero: np.ndarray
    points: np.ndarray


class Path:
    """P as the output of one sub-layer grows from 0 to what it is.

    Args:
        upper: The model.
        trace: What a batch of texts left in it.
        layer: Number of the block from 0.
        name: Of the sub-layer, `inner` or `outer`.
        explained: P.
        token_budget: Tokens that are run at once.
    """

    def __init__(
        self, upper: Upper, trace: Trace, layer: int, name: str, explained: Explained, token_budget: int
    ) -> None:
        self.upper, self.trace, self.layer, self.name, self.explained = upper, trace, layer, name, explained
        self.output = upper.output(trace, layer, name)
        self.rows_at_once = max(1, token_budget // trace.mask.shape[1])

    def integral(self, quadrature: Quadrature, at_one: np.ndarray) -> Integral:
        """Integrate the gradient for every text.

        Args:
            quadrature: The rule, and when it is good enough.
            at_one: P(1), float64 [texts].
        """
        rule, texts = quadrature.rule(), np.arange(len(self.output))
        at_zero = self._values(texts, np.zeros(len(texts)))
        panels = Panels(texts, np.zeros(len(texts)), np.ones(len(texts)), at_zero, at_one)
        found = Integral(torch.zeros_like(self.output), at_zero, np.zeros(len(texts), np.int64))
        left = np.abs(at_one - at_zero)  # what may be missed
        left = np.full_like(left, np.inf) if np.isinf(quadrature.tolerance) else quadrature.tolerance * left
        while len(panels):
            used = len(rule) * np.bincount(panels.texts, minlength=len(texts))
            allowed = np.maximum(left * len(rule) / np.maximum(used, 1), ROUNDING * np.abs(at_one))
            allowed[found.points + 3 * used > quadrature.most_points] = np.inf  # the halves of all would be too many
            found.points[:] += used
            wide, missed = self._add(panels, rule, allowed, found.gradient)
            np.subtract.at(left, panels.texts[~wide], missed[~wide])
            panels = self._halves(panels.select(wide))
        return found

    def _add(self, panels: Panels, rule: Rule, allowed: np.ndarray, total: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Add the panels' integrals to those of their texts, but for panels that miss more than is allowed.

        Returns:
            Which panels those are, and what each misses, both [panels].
        """
        missed = np.zeros(len(panels))
        wide = np.zeros(len(panels), dtype=bool)
        for some in _chunks(len(panels), max(1, self.rows_at_once // len(rule))):
            group = panels.select(some)
            gradients = self._gradients(group, rule)
            texts = torch.from_numpy(group.texts).to(self.output.device)
            came_to = (gradients * self.output[texts]).sum(dim=(1, 2), dtype=torch.float64).cpu().numpy()
            missed[some] = np.abs(came_to - (group.at_high - group.at_low))
            wide[some] = missed[some] > allowed[group.texts]
            kept = torch.from_numpy(~wide[some]).to(self.output.device)
            total.index_add_(0, texts[kept], gradients[kept])
        return wide, missed

    def _halves(self, panels: Panels) -> Panels:
        """Divide panels in two."""
        middle = divided(panels.low, panels.high)
        return panels.halves(middle, self._values(panels.texts, middle))

    @torch.enable_grad()
    def _gradients(self, panels: Panels, rule: Rule) -> Tensor:
        """Integrate dP/dz over each panel; 0 at padding, [panels, tokens, outputs]."""
        widths = panels.high - panels.low
        points = (panels.low[:, None] + widths[:, None] * rule.points).ravel()
        weights = (widths[:, None] * rule.weights).ravel()
        of = np.repeat(np.arange(len(panels)), len(rule))
        total = torch.zeros(len(panels), *self.output.shape[1:], dtype=self.output.dtype, device=self.output.device)
        for some in _chunks(len(of), self.rows_at_once):
            states, values = self._run(panels.texts[of[some]], points[some])
            (gradients,) = torch.autograd.grad((values * torch.from_numpy(weights[some]).to(values)).sum(), states)
            total.index_add_(0, torch.from_numpy(of[some]).to(total.device), gradients)
        padding = self.trace.mask[torch.from_numpy(panels.texts).to(total.device), :, None] == 0
        return total.masked_fill_(padding, 0)

    @torch.no_grad()
    def _values(self, texts: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Compute P at points of the paths of texts, float64 [rows]."""
        chunks = _chunks(len(texts), self.rows_at_once)
        values = [self._run(texts[some], points[some])[1].double().cpu().numpy() for some in chunks]
        return np.concatenate([np.zeros(0), *values])

    def _run(self, texts: np.ndarray, points: np.ndarray) -> tuple[Tensor, Tensor]:
        """Run the model from the scaled outputs of texts on.

        Returns:
            The scaled outputs, [rows, tokens, outputs], and P, [rows].
        """
        rows = torch.from_numpy(texts).to(self.output.device)
        states = torch.from_numpy(points).to(self.output)[:, None, None] * self.output[rows]
        states.requires_grad_(torch.is_grad_enabled())
        pooled = self.upper.pooled(self.trace, self.layer, self.name, states, rows)
        return states, self.explained(pooled, texts)


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Cut so many rows into slices of at most a size."""
    return (slice(start, start + size) for start in range(0, count, size))
