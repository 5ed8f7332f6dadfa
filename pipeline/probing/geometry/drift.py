"""How far fine-tuning moved the weights, by layer and kind of module, and in how many directions."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.kept import Arrays, kept
from pipeline.probing.outcome import Row
from pipeline.probing.units import unit_names, units_of
from pipeline.progress import progress

KINDS = {
    "attention qkv": r"(Wqkv|qkv_proj|c_attn|query_key_value)$",
    "attention q": r"(query|query_proj|q_proj|q_lin|(Attention|attn)\.q)$",
    "attention k": r"(key|key_proj|k_proj|k_lin|(Attention|attn)\.k)$",
    "attention v": r"(value|value_proj|v_proj|v_lin|(Attention|attn)\.v)$",
    "attention o": r"(attention\.(output\.)?dense|o_proj|out_proj|out_lin|(Attention|attn)\.o|attn\.(Wo|c_proj))$",
    "feed-forward in": r"(intermediate\.dense|dense_h_to_4h|gate_proj|up_proj|lin1|wi|wi_0|wi_1|mlp\.Wi|c_fc|fc1)$",
    "feed-forward out": r"(output\.dense|dense_4h_to_h|down_proj|lin2|wo|mlp\.Wo|mlp\.c_proj|fc2)$",
    "norms": r"norm|\bln_",
}
"""Modules by the end of their names, in the families of `pipeline.encoders.feed_forward`; the first that fits."""
MODULES = ("embeddings", *KINDS, "other")


@dataclass(frozen=True)
class Drift:
    """What became of one kind of module in one unit.

    Attributes:
        unit: 0 for embeddings, 1 to depth for layers, depth + 1 for what comes after.
        module: One of `MODULES`.
        change: |tuned - base|_F / |base|_F over the weights and biases together.
        rank: Effective rank of the difference of the matrices, one above the other; 0 where nothing changed, nan where
            there is no matrix.
        full_rank: The largest rank that it could have.
    """

    unit: int
    module: str
    change: float
    rank: float
    full_rank: int


def module_kind(name: str, unit: int) -> str:
    """Say what kind of module a weight belongs to.

    Args:
        name: Of the weight, `encoder.layer.0.attention.self.query.weight`.
        unit: Where it lies; see `units_of`.
    """
    module = re.sub(r"\.(weight|bias)$", "", name)  # experts keep theirs together, under the name of a module
    for kind, pattern in KINDS.items():
        if re.search(pattern, module, re.IGNORECASE if kind == "norms" else 0):
            return kind
    return "embeddings" if unit == 0 else "other"


def drifts_of(base: TransformerTower, tuned: TransformerTower, name: str, store: Path) -> list[Row]:
    """Compare the weights of two towers, once for their contents; see `drift`.

    Args:
        base: Before.
        tuned: After, of the same architecture.
        name: Of the tuned model.
        store: Keeps what was computed.

    Returns:
        A row for each unit and kind of module in it.
    """

    def compute() -> Arrays:
        weights = sum(weight.numel() for weight in base.backbone.parameters())
        with progress(f"Comparing the weights of {name} with the base's", weights, "weights") as advance:
            found = drift(base.backbone, tuned.backbone, advance)
        return {column: np.array([getattr(one, column) for one in found]) for column in Drift.__dataclass_fields__}

    towers = [tower.fingerprint("document") for tower in (base, tuned)]
    found = kept(store, "geometry", {"drift": towers}, compute)
    units = unit_names(base.backbone.config.num_hidden_layers)
    return [
        {
            "layer": int(unit),
            "unit": units[unit],
            "module": str(module),
            "relative_change": float(change),
            "effective_rank": None if np.isnan(rank) else float(rank),
            "full_rank": int(full_rank) or None,
        }
        for unit, module, change, rank, full_rank in zip(
            *(found[column] for column in Drift.__dataclass_fields__), strict=True
        )
    ]


def drift(base: PreTrainedModel, tuned: PreTrainedModel, advance: Callable[[int], None]) -> list[Drift]:
    """Compare the weights of two models of one architecture, in float64.

    Args:
        base: Before.
        tuned: After.
        advance: Called with the number of weights that are compared.

    Returns:
        For each unit and kind of module in it.
    """
    weights = [dict(model.named_parameters(remove_duplicate=False)) for model in (base, tuned)]
    together: dict[tuple[int, str], list[str]] = {}
    for name, unit in _once(base):
        together.setdefault((unit, module_kind(name, unit)), []).append(name)
    found = []
    for (unit, module), names in sorted(together.items(), key=lambda item: (item[0][0], MODULES.index(item[0][1]))):
        pairs = [(_double(weights[0][name]), _double(weights[1][name])) for name in names]
        change = np.sqrt(sum(_squared(after - before) for before, after in pairs) / sum(_squared(b) for b, _ in pairs))
        found.append(Drift(unit, module, float(change), *_rank_of_change(pairs)))
        advance(sum(before.numel() for before, _ in pairs))
    return found


def effective_rank_of(matrix: Tensor) -> float:
    """Compute the effective rank of a matrix as it is, not centred (Roy and Vetterli 2007, definition 1).

    Args:
        matrix: float64 [rows, columns]. Its singular values are the roots of the eigenvalues of the smaller of its two
            products with itself, which takes a fraction of the time; those below 1e-7 of the largest are lost in it.

    Returns:
        From 1 to the smaller side; 0 for zeros.
    """
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    eigenvalues = torch.linalg.eigvalsh(product).clamp(min=0)
    if not float(eigenvalues.max()):
        return 0.0
    kept = eigenvalues[eigenvalues > eigenvalues.max() * max(matrix.shape) * torch.finfo(torch.float64).eps].sqrt()
    shares = kept / kept.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


def _once(model: PreTrainedModel) -> Iterator[tuple[str, int]]:
    """Name each weight once, also where it is shared, with its unit."""
    units = units_of(model)
    for name, _ in model.named_parameters():
        yield name, units[name]


def _rank_of_change(pairs: list[tuple[Tensor, Tensor]]) -> tuple[float, int]:
    """Give the effective rank of the matrices' difference and the largest that is possible."""
    changes = [after - before for before, after in pairs if before.ndim == 2]
    if not changes or len({change.shape[1] for change in changes}) > 1:
        return float("nan"), 0
    matrix = torch.cat(changes)
    return effective_rank_of(matrix), min(matrix.shape)


def _double(weight: Tensor) -> Tensor:
    return weight.detach().cpu().double()


def _squared(weight: Tensor) -> float:
    return float((weight**2).sum())
