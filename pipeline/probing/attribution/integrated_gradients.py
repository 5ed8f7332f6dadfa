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
from torch import Tensor, nn

from pipeline.encoders.encoding import batches_by_length
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.encoders.memory import lacks_memory
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.probing.attribution.above import Trace, Upper
from pipeline.probing.attribution.quadrature import Quadrature, Rule
from pipeline.probing.attribution.targets import Target

TOKEN_BUDGET = 4096
"""Tokens run at once, all points of all texts of a batch counted: what is kept for the gradient stays within memory."""
SUB_LAYERS = ("inner", "outer")
ROUNDING = 1e-5
"""A gap this small, relative to P(1), is float32's and not the quadrature's."""


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
        points: Points of the path used, [texts].
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
        found = _empty(len(token_ids), len(self.parts), self.parts[0].neurons, self.parts[0].outer.out_features)
        left = np.arange(len(token_ids))
        for rule in quadrature.rules():
            self._by_rule(token_ids, left, rule, target, found)
            off = np.abs(found.total - found.difference) > ROUNDING * np.abs(found.value)[:, None, None]
            worse = ((found.gap > quadrature.tolerance) & off).any(axis=(1, 2))
            if advance:
                advance(int(np.count_nonzero(~worse[left])))
            left = left[worse[left]]
            if not len(left):
                break
        if advance and len(left):
            advance(len(left))
        return found

    def _by_rule(
        self, token_ids: list[list[int]], texts: np.ndarray, rule: Rule, target: Target, found: Attribution
    ) -> None:
        """Attribute some texts by one rule, batch by batch, and with smaller batches where memory does not suffice."""
        while len(texts):
            lengths = [len(token_ids[text]) * len(rule) * len(SUB_LAYERS) for text in texts]
            batch = next(batches_by_length(lengths, self.token_budget))
            try:
                self._batch(token_ids, texts[batch], rule, target, found)
            except RuntimeError as error:
                self._shrink(error, max(len(token_ids[text]) for text in texts))
                continue
            texts = np.delete(texts, batch)

    def _batch(
        self, token_ids: list[list[int]], texts: np.ndarray, rule: Rule, target: Target, found: Attribution
    ) -> None:
        """Attribute one batch of texts."""
        trace = self.upper.run([token_ids[text] for text in texts])
        with torch.no_grad():
            value = target(trace.pooled, self.upper.finish, texts)
        found.value[texts] = _numbers(value)
        found.points[texts] = len(rule)
        for layer, part in enumerate(self.parts):
            gradients = self._gradients(trace, layer, rule, target, texts)
            for place, (name, gradient) in enumerate(zip(SUB_LAYERS, gradients, strict=True)):
                seen, linear = trace.seen[layer], getattr(part, name)
                getattr(found, name)[texts, layer] = _numbers(_by_neuron(linear, gradient, seen[f"{name}_input"]))
                output = seen[f"{name}_output"].masked_fill(trace.mask[..., None] == 0, 0)
                found.total[texts, layer, place] = _numbers((gradient * output).sum(dim=(1, 2)))
            found.difference[texts, layer] = _numbers(value[:, None] - self._at_zero(trace, layer, target, texts))

    @torch.enable_grad()
    def _gradients(
        self, trace: Trace, layer: int, rule: Rule, target: Target, texts: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Average dP/dz over the path, for both sub-layers of a block; 0 at padding.

        Instead of one gradient for each point, one shift is added to all points: its gradient is the weighted sum.
        """
        seen = trace.seen[layer]
        outputs = [seen[f"{name}_output"] for name in SUB_LAYERS]
        sums = [torch.zeros_like(output) for output in outputs]
        tokens = trace.mask.numel() * len(SUB_LAYERS)
        for some in np.array_split(np.arange(len(rule)), -(-len(rule) * tokens // max(tokens, self.token_budget))):
            shifts = [torch.zeros_like(output).requires_grad_() for output in outputs]
            values = self._values(trace, layer, rule.points[some], shifts, target, texts)
            weights = torch.from_numpy(rule.weights[some]).to(values)
            for total, gradient in zip(
                sums, torch.autograd.grad((values * weights[:, None]).sum(), shifts), strict=True
            ):
                total += gradient
        padding = trace.mask[..., None] == 0
        return sums[0].masked_fill_(padding, 0), sums[1].masked_fill_(padding, 0)

    def _values(
        self, trace: Trace, layer: int, points: np.ndarray, shifts: list[Tensor], target: Target, texts: np.ndarray
    ) -> Tensor:
        """Compute P along the path, [2, points, texts]: first with the inner sub-layer scaled, then with the outer."""
        seen, rest = trace.seen[layer], self.upper.rests[layer]
        inner, outer = (
            torch.from_numpy(points).to(shift)[:, None, None, None] * seen[f"{name}_output"] + shift
            for name, shift in zip(SUB_LAYERS, shifts, strict=True)
        )
        states = rest.after_outer(torch.cat([rest.after_inner(inner, seen), outer]), seen)
        pooled = self.upper.pooled(trace, layer, states)
        versions = len(SUB_LAYERS) * len(points)
        return target(pooled, self.upper.finish, np.tile(texts, versions)).view(len(SUB_LAYERS), len(points), -1)

    @torch.no_grad()
    def _at_zero(self, trace: Trace, layer: int, target: Target, texts: np.ndarray) -> Tensor:
        """Compute P(0), [texts, 2]."""
        nothing = [torch.zeros_like(trace.seen[layer][f"{name}_output"]) for name in SUB_LAYERS]
        return self._values(trace, layer, np.zeros(1), nothing, target, texts)[:, 0].T

    def _shrink(self, error: RuntimeError, longest: int) -> None:
        """Halve the batch after a lack of memory; anything else is raised again."""
        if not lacks_memory(error):
            raise error
        if self.token_budget <= longest * len(SUB_LAYERS):
            raise UserError(
                f"Memory does not suffice to attribute one text of {longest} tokens; lower probe.max_length."
            ) from error
        self.token_budget //= 2
        print(
            f"Memory does not suffice; going on with {self.token_budget} tokens at once.", file=sys.stderr, flush=True
        )


def _by_neuron(linear: nn.Linear, gradient: Tensor, states: Tensor) -> Tensor:
    """Sum |W * G^T x| over input weights, text by text, [texts, outputs]; the product of all texts would be large."""
    sizes = linear.weight.detach().abs().to(gradient.device)
    products = (torch.mm(one.T, x) for one, x in zip(gradient, states, strict=True))
    return torch.stack([product.abs_().mul_(sizes).sum(dim=1) for product in products])


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _empty(texts: int, layers: int, neurons: int, width: int) -> Attribution:
    """Make room for the attributions of all texts."""
    inner, outer = np.zeros((texts, layers, neurons), np.float32), np.zeros((texts, layers, width), np.float32)
    total, difference = (np.zeros((texts, layers, len(SUB_LAYERS)), np.float32) for _ in range(2))
    return Attribution(inner, outer, total, difference, np.zeros(texts, np.float32), np.zeros(texts, np.int64))
