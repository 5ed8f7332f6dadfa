"""Training many probes in one pass: their parameters side by side, each with its own rate and its own end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.probing.linear.data import RowData
from pipeline.probing.linear.families import Member, Parameters, ProbeFamily

SMALLEST_GAIN = 1e-4
"""What counts as an improvement of the validation loss since the last one, in nats."""
WORTH_LEAVING_OUT = 0.75
"""Members that are done are left out when no more than this share goes on: leaving out copies the rest."""


@dataclass(frozen=True)
class Recipe:
    """How probes are trained.

    Attributes:
        batch_size: Rows of a step.
        epochs: At most.
        patience: Epochs without improvement after which a probe has converged; None: all epochs are trained.
        chosen_by: What the best epoch is best in, on the validation rows.
    """

    batch_size: int
    epochs: int
    patience: int | None
    chosen_by: Literal["loss", "accuracy"] = "loss"


@dataclass(frozen=True)
class Trained:
    """Probes at their best epoch.

    Attributes:
        parameters: Of all members, each [layers, ..., columns].
        score: The best validation score, negative loss or accuracy, [layers, members].
        best_epoch: From 1, [layers, members].
        converged: Whether the best epoch was followed by enough others that were no better; without patience, whether
            the training loss no longer fell in the second half of the epochs; [layers, members].
    """

    parameters: Parameters
    score: Tensor
    best_epoch: Tensor
    converged: Tensor


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with a learning rate for every column.

    Args:
        parameters: Changed in place by every step, each [..., columns].
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.first = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.second = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.steps = 0

    def step(self, gradients: Parameters, rates: Parameters) -> None:
        """Take one step; `rates` are [columns]."""
        self.steps += 1
        for name, gradient in gradients.items():
            first, second = self.first[name], self.second[name]
            first.lerp_(gradient, 1 - 0.9)
            second.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
            size = (second / (1 - 0.999**self.steps)).sqrt_().add_(1e-8)
            self.parameters[name] -= rates[name] / (1 - 0.9**self.steps) * first / size

    def keep(self, columns: Parameters) -> None:
        """Leave all columns out but these."""
        for state in (self.parameters, self.first, self.second):
            for name, value in state.items():
                state[name] = value[..., columns[name]]


def train(
    family: ProbeFamily,
    members: Sequence[Member],
    training: RowData,
    validation: RowData,
    recipe: Recipe,
    seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> Trained:
    """Train all members on the same rows; each as if it were alone.

    Args:
        family: What they are.
        members: Those of the same N beside each other.
        training: The rows that they learn from.
        validation: The rows that say which epoch is best.
        recipe: How.
        seed: Of the order of the rows, and of what every epoch draws.
        advance: Called with the number of epochs just done.
    """
    together, candidates = _Together(family, members, training), sorted({member.candidates for member in members})
    losses = []
    for epoch in range(1, recipe.epochs + 1):
        shown = training.drawn(candidates, [seed, epoch, 0])
        steps = [together.step(batch) for batch in shown.batches(recipe.batch_size, seed, epoch)]
        losses.append(torch.stack(steps).mean(dim=0))
        going_on = together.look(validation.drawn(candidates, [seed, epoch, 1]), epoch, recipe)
        advance(1)
        if not going_on.any():
            break
        if going_on.float().mean() <= WORTH_LEAVING_OUT:
            together.keep(going_on)
    if recipe.patience is None:
        # The best of so many accuracies may come early by a tie; nobody was left out, and losses are of all members.
        converged = losses[len(losses) // 2 - 1] - losses[-1] < SMALLEST_GAIN
    else:
        converged = (epoch - together.best_epoch >= recipe.patience) & (together.best_epoch > 0)
    return Trained(together.best, together.score, together.best_epoch, converged)


class _Together:
    """Members in training: what they are now, and what they were at their best."""

    def __init__(self, family: ProbeFamily, members: Sequence[Member], data: RowData) -> None:
        self.family, self.members = family, members
        layers, device, width = len(data.queries), data.queries.device, data.queries.shape[2]
        first = [family.start(member, width) for member in members]
        self.owners = {
            name: torch.cat([torch.full((one[name].shape[-1],), place) for place, one in enumerate(first)]).to(device)
            for name in first[0]
        }
        joined = {name: torch.cat([one[name] for one in first], dim=-1).to(device) for name in first[0]}
        self.best = {name: value.expand(layers, *value.shape).clone() for name, value in joined.items()}
        self.adam = Adam({name: value.clone() for name, value in self.best.items()})
        self.rates = torch.tensor([member.learning_rate for member in members], device=device)
        self.score = torch.full((layers, len(members)), -torch.inf, device=device)
        self.best_epoch = torch.zeros((layers, len(members)), dtype=torch.int64, device=device)
        self.alive = torch.arange(len(members), device=device)
        self.columns = {name: torch.arange(len(owner), device=device) for name, owner in self.owners.items()}

    def step(self, batch: RowData) -> Tensor:
        """Follow the gradient of one batch; return the losses before it, [layers, alive]."""
        parameters = {name: value.detach().requires_grad_() for name, value in self.adam.parameters.items()}
        losses = nats(self.family, parameters, self._now(), batch).mean(dim=1)
        gradients = dict(zip(parameters, torch.autograd.grad(losses.sum(), list(parameters.values())), strict=True))
        rates = {name: self.rates[self.owners[name][columns]] for name, columns in self.columns.items()}
        self.adam.step(gradients, rates)
        return losses.detach()

    def look(self, validation: RowData, epoch: int, recipe: Recipe) -> Tensor:
        """Remember whoever is better than ever, unless it had already converged; say who goes on, bool [alive]."""
        patience = recipe.patience or recipe.epochs
        by_accuracy = recipe.chosen_by == "accuracy"
        measure, sign, gain = (right_answers, 1, 0.0) if by_accuracy else (nats, -1, SMALLEST_GAIN)
        reached = sign * over_rows(measure, self.family, self.adam.parameters, self._now(), validation, recipe)
        reached = reached.float().mean(dim=1)
        best_epoch, score = self.best_epoch[:, self.alive], self.score[:, self.alive]
        better = (epoch - best_epoch <= patience) & (reached > score + gain)
        self.score[:, self.alive] = torch.where(better, reached, score)
        self.best_epoch[:, self.alive] = torch.where(better, epoch, best_epoch)
        self._remember(better)
        return (epoch - self.best_epoch[:, self.alive] < patience).any(dim=0)

    def _remember(self, better: Tensor) -> None:
        """Copy the parameters of those that are better, bool [layers, alive]."""
        full = torch.zeros_like(self.score, dtype=torch.bool)
        full[:, self.alive] = better
        for name, value in self.adam.parameters.items():
            columns = self.columns[name]
            taken = full[:, self.owners[name][columns]]
            taken = taken.view(len(taken), *[1] * (value.dim() - 2), -1)
            self.best[name][..., columns] = torch.where(taken, value, self.best[name][..., columns])

    def keep(self, going_on: Tensor) -> None:
        """Leave out whoever is done in all layers; `going_on` is bool [alive]."""
        self.alive = self.alive[going_on]
        kept = {name: torch.isin(self.owners[name][columns], self.alive) for name, columns in self.columns.items()}
        self.columns = {name: columns[kept[name]] for name, columns in self.columns.items()}
        self.adam.keep(kept)

    def _now(self) -> list[Member]:
        return [self.members[number] for number in self.alive.tolist()]


def over_rows(
    measure: Callable[[ProbeFamily, Parameters, Sequence[Member], RowData], Tensor],
    family: ProbeFamily,
    parameters: Parameters,
    members: Sequence[Member],
    data: RowData,
    recipe: Recipe,
) -> Tensor:
    """Apply `nats` or `right_answers` without gradients, so many rows at a time as in a step of training."""
    with torch.no_grad():
        parts = [measure(family, parameters, members, part) for part in data.slices(recipe.batch_size)]
        return torch.cat(parts, dim=1)


def targets(members: Sequence[Member], data: RowData) -> Tensor:
    """Say which place is the right one, [rows, members]."""
    return torch.stack([data.right_place(member.candidates, member.control) for member in members], dim=1)


def nats(family: ProbeFamily, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
    """Compute the cross-entropy of every row in nats, [layers, rows, members]."""
    logits = family.logits(parameters, members, data)
    right = targets(members, data).expand(len(logits), -1, -1)
    return -functional.log_softmax(logits, dim=3).gather(3, right[..., None]).squeeze(3)


def right_answers(family: ProbeFamily, parameters: Parameters, members: Sequence[Member], data: RowData) -> Tensor:
    """Say which rows each member gets right, bool [layers, rows, members]; of equal logits the first counts."""
    return family.logits(parameters, members, data).argmax(dim=3) == targets(members, data)
