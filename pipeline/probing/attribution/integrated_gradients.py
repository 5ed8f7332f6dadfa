"""Integrated gradients of feed-forward sub-layers, by scaling their outputs.

The weight W and bias b of one sub-layer go from 0 to their value along a in [0, 1], and IG = W * integral of dP/d(aW) da
(Sundararajan, Taly and Yan 2017, equation 1; for neurons Dai et al. 2022, equation 3). With x the sub-layer's input and z
its output, a(Wx + b) = az, so with g(a) = dP/d(az), IG = W * (sum over tokens of (mean_a g)^T x). A neuron's attribution
is the sum of |IG| over its input weights. Completeness: the IG of all weights and biases add up to P(1) - P(0).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.encoders.encoding import batches_by_length
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.memory import lacks_memory
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.probing.attribution.above import Upper
from pipeline.probing.attribution.path import Path
from pipeline.probing.attribution.quadrature import Quadrature
from pipeline.probing.attribution.targets import Target

TOKEN_BUDGET = 4096
"""Tokens run at once, all points of all texts of a batch counted: what is kept for the gradient stays within memory."""
SUB_LAYERS = ("inner", "outer")


@dataclass(frozen=True)
class Attribution:
    """What each neuron has to do with a number of a text's representation.

    Attributes:
        inner: Of the neurons (BERT's `intermediate.dense`, Llama's `gate_proj`), float32 [texts, layers, neurons].
        outer: Of the outputs of the outer sub-layer (BERT's `output.dense`, Llama's `down_proj`), float32
            [texts, layers, width].
        total: All attributions of a sub-layer added up, with their signs and the bias's, [texts, layers, 2].
        difference: P(1) - P(0), which `total` should be, [texts, layers, 2]; inner first.
        value: P(1), [texts].
        points: Where on the path the gradient was taken, int64 [texts, layers, 2].
    """

    inner: np.ndarray
    outer: np.ndarray
    total: np.ndarray
    difference: np.ndarray
    value: np.ndarray
    points: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """How far `total` is from P(1) - P(0), relative to the latter, [texts, layers, 2]."""
        return np.abs(self.total - self.difference) / np.maximum(np.abs(self.difference), 1e-30)


class Attributor:
    """A tower made ready for attributing; make one for many calls.

    Args:
        tower: The tower; changes to it after this are not seen.
        device: Where to compute.
        token_budget: See `TOKEN_BUDGET`; halved when memory does not suffice.

    Raises:
        UserError: When the tower's blocks are of an unknown kind.
    """

    def __init__(self, tower: TransformerTower, device: torch.device, token_budget: int = TOKEN_BUDGET) -> None:
        self.upper = Upper(tower, device, token_budget)
        self.parts = feed_forwards(tower.backbone)
        self.token_budget = token_budget

    def attribute(
        self,
        token_ids: list[list[int]],
        quadrature: Quadrature,
        target: Target,
        advance: Callable[[int], None] | None = None,
    ) -> Attribution:
        """Attribute a number of each text's representation to the neurons; no weight is touched.

        Args:
            token_ids: Tokenized texts.
            quadrature: Where the path is looked at.
            target: What is explained.
            advance: Called with the number of texts just finished.

        Raises:
            UserError: When one text alone does not fit into memory.
        """
        found = _empty(len(token_ids), len(self.parts), *(len(self.parts[0].weight(name)) for name in SUB_LAYERS))
        left = np.arange(len(token_ids))
        while len(left):
            lengths = [len(token_ids[text]) * quadrature.points for text in left]
            batch = next(batches_by_length(lengths, self.token_budget))
            texts = left[batch]
            try:
                self._batch(token_ids, texts, quadrature, target, found)
            except RuntimeError as error:
                self._shrink(error, max(len(token_ids[text]) for text in texts))
                continue
            left = np.delete(left, batch)
            if advance:
                advance(len(texts))
        return found

    def _batch(
        self, token_ids: list[list[int]], texts: np.ndarray, quadrature: Quadrature, target: Target, found: Attribution
    ) -> None:
        """Attribute one batch of texts."""
        trace = self.upper.run([token_ids[text] for text in texts])

        def explained(pooled: Tensor, rows: np.ndarray) -> Tensor:
            return target(pooled, self.upper.finish, texts[rows])

        with torch.no_grad():
            value = explained(trace.pooled, np.arange(len(texts))).double().cpu().numpy()
        found.value[texts] = value
        for layer, part in enumerate(self.parts):
            for place, name in enumerate(SUB_LAYERS):
                path = Path(self.upper, trace, layer, name, explained, self.token_budget)
                integral = path.integral(quadrature, value)
                states = trace.seen[layer][f"{name}_input"]
                attributed = _by_neuron(part.weight(name), integral.gradient, states)
                getattr(found, name)[texts, layer] = attributed.cpu().numpy()
                total = (integral.gradient * path.output).sum(dim=(1, 2), dtype=torch.float64)
                found.total[texts, layer, place] = total.cpu().numpy()
                found.difference[texts, layer, place] = value - integral.at_zero
                found.points[texts, layer, place] = integral.points

    def _shrink(self, error: RuntimeError, longest: int) -> None:
        """Halve the batch after a lack of memory; anything else is raised again."""
        if not lacks_memory(error):
            raise error
        if self.token_budget <= longest:
            raise UserError(
                f"Memory does not suffice to attribute one text of {longest} tokens; lower probe.max_length."
            ) from error
        self.token_budget //= 2
        print(
            f"Memory does not suffice; going on with {self.token_budget} tokens at once.", file=sys.stderr, flush=True
        )


def _by_neuron(weight: Tensor, gradient: Tensor, states: Tensor) -> Tensor:
    """Sum |W * G^T x| over input weights, text by text, [texts, outputs]; the product of all texts would be large."""
    sizes = weight.detach().abs().to(gradient.device)
    products = (torch.mm(one.T, x) for one, x in zip(gradient, states, strict=True))
    return torch.stack([product.abs_().mul_(sizes).sum(dim=1) for product in products])


def _empty(texts: int, layers: int, neurons: int, width: int) -> Attribution:
    """Make room for the attributions of all texts."""
    inner, outer = np.zeros((texts, layers, neurons), np.float32), np.zeros((texts, layers, width), np.float32)
    total, difference = (np.zeros((texts, layers, len(SUB_LAYERS))) for _ in range(2))
    return Attribution(inner, outer, total, difference, np.zeros(texts), np.zeros(total.shape, np.int64))
