"""One kind of probe on some layers of one model: what it gets right, what the controls get right, and its code length."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.encoders.memory import lacks_memory
from pipeline.probing.linear.data import RowData
from pipeline.probing.linear.families import Member, ProbeFamily
from pipeline.probing.linear.training import Recipe, Trained, nats, over_rows, right_answers, train

NUMBERS_AT_ONCE = 2**27
"""What the probes that are trained together may keep for one step: 512 MiB."""
PORTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Of the rows, where the online code goes from one probe to the next; each doubles what is known."""
FEWEST_QUESTIONS = 16
HELD_OUT = 1 / 4
"""Of the rows that are known, to stop the training of the next probe of the code."""


@dataclass(frozen=True)
class Design:
    """What is trained on every layer.

    Attributes:
        candidates: The numbers of candidates N.
        seeds: Of the first weights.
        learning_rates: Of which the one with the best validation score is taken, for each seed.
        recipe: How probes are trained.
        controls: Whether the control task and the code length are wanted.
        seed: Of the order of rows, and of the questions that are exchanged.
    """

    candidates: tuple[int, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    recipe: Recipe
    controls: bool
    seed: int

    def members(self) -> list[Member]:
        """List all probes, those of the same N beside each other; the control task is learned by the first seed."""
        tasks = [(seed, False) for seed in self.seeds] + [(self.seeds[0], True)] * self.controls
        found = product(self.candidates, tasks, self.learning_rates)
        return [Member(n, seed, rate, control) for n, (seed, control), rate in found]

    def coding(self) -> "Design":
        """Give the design of the probes that make the code: one seed, and no control task."""
        return replace(self, seeds=self.seeds[:1], controls=False)

    def made_from(self) -> dict[str, Any]:
        """Give everything that determines a result beside rows and states."""
        said = {**asdict(self), "code": [PORTIONS, FEWEST_QUESTIONS, HELD_OUT]}
        # Kept by an earlier version, these would have converged at the first tie.
        return said if self.recipe.patience else {**said, "converged": "training loss"}


@dataclass(frozen=True)
class Parts:
    """The rows by what they are for, with states as the probe reads them."""

    training: RowData
    validation: RowData
    test: RowData


def probe_layers(family: ProbeFamily, parts: Parts, design: Design) -> dict[str, np.ndarray]:
    """Train and test one kind of probe on some layers.

    Args:
        family: The kind.
        parts: The rows.
        design: What is trained.

    Returns:
        right, shuffled: bool [layers, N, seeds, test rows], the second with the questions of other rows;
        score, learning_rate, epoch, converged: [layers, N, seeds], of the probe taken;
        with controls also control_right: the share of right answers in the control task, control_converged,
        bits and code_converged: [layers, N, 1], of the first seed.
    """
    members = design.members()
    trained = train_in_parts(family, members, parts.training, parts.validation, design)
    shuffled = parts.test.with_queries(parts.test.query_of[_other_rows(parts.test, design.seed)])
    right, without = (
        over_rows(right_answers, family, trained.parameters, members, data, design.recipe)
        for data in (parts.test, shuffled)
    )
    taken = best_of(trained, members, design, control=False)
    found = {
        "right": _taken(right, taken),
        "shuffled": _taken(without, taken),
        **{name: _taken(values, taken) for name, values in _facts(trained, members).items()},
    }
    if design.controls:
        control = best_of(trained, members, replace(design, seeds=design.seeds[:1]), control=True)
        found["control_right"] = _taken(right, control).mean(axis=3)
        found["control_converged"] = _taken(trained.converged, control)
        found["bits"], found["code_converged"] = online_code(family, parts.training, design)
    return found


def train_in_parts(
    family: ProbeFamily, members: Sequence[Member], training: RowData, validation: RowData, design: Design
) -> Trained:
    """Train as many members in one pass as fit into memory, halved where they do not; what each becomes is the same."""
    layers, texts, width = training.documents.shape
    rows = min(design.recipe.batch_size, len(training))
    most = max(family.numbers(member.candidates, width, rows, texts) for member in members)
    at_once = min(len(members), max(1, NUMBERS_AT_ONCE // (most * layers)))
    done: list[Trained] = []
    left = list(members)
    while left:
        try:
            done.append(train(family, left[:at_once], training, validation, design.recipe, design.seed))
            left = left[at_once:]
        except RuntimeError as error:
            if at_once == 1 or not lacks_memory(error):
                raise
            at_once //= 2
            print(f"Memory does not suffice; going on with {at_once} probes at once.", file=sys.stderr, flush=True)
    return Trained(
        {name: torch.cat([part.parameters[name] for part in done], dim=-1) for name in done[0].parameters},
        *(
            torch.cat(tensors, dim=1)
            for tensors in zip(*((p.score, p.best_epoch, p.converged) for p in done), strict=True)
        ),
    )


def best_of(trained: Trained, members: Sequence[Member], design: Design, control: bool) -> Tensor:
    """Take the learning rate with the best validation score, for every layer, N and seed.

    Returns:
        Numbers of members, [layers, N, seeds].
    """
    groups = [
        [place for place, member in enumerate(members) if (member.candidates, member.seed, member.control) == wanted]
        for wanted in product(design.candidates, design.seeds, [control])
    ]
    numbers = torch.tensor(groups, device=trained.score.device)
    best = trained.score[:, numbers].argmax(dim=2)
    taken = numbers.expand(len(best), -1, -1).gather(2, best[..., None]).squeeze(2)
    return taken.view(len(best), len(design.candidates), len(design.seeds))


def online_code(family: ProbeFamily, data: RowData, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Measure how many bits the right answers take when they are sent portion by portion (Voita and Titov 2020).

    The first portion is sent in log2 N bits a row; every other one with a probe trained on all before it (eq. 3).

    Args:
        family: The kind of probe.
        data: The rows that are sent.
        design: What is trained.

    Returns:
        Bits of all rows, and whether all probes converged, both [layers, N, 1], of the first seed.
    """
    design = design.coding()
    members = design.members()
    ends = portions(data.query_of.cpu().numpy(), design.seed)
    uniform = np.log2(np.array(design.candidates)) * len(ends[0])
    bits = np.zeros((len(data.queries), len(design.candidates), 1)) + uniform[:, None]
    converged = np.ones(bits.shape, dtype=bool)
    for known, following in pairwise(ends):
        held_out = held_out_rows(data.query_of.cpu().numpy(), known)
        learned = known[~np.isin(known, held_out)]
        trained = train_in_parts(family, members, data.subset(learned), data.subset(held_out), design)
        taken = best_of(trained, members, design, control=False)
        sent = data.subset(following[len(known) :])
        costs = over_rows(nats, family, trained.parameters, members, sent, design.recipe)
        bits += _taken(costs, taken).astype(np.float64).sum(axis=3) / np.log(2)
        converged &= _taken(trained.converged, taken)
    return bits, converged


def portions(questions: np.ndarray, seed: int) -> list[np.ndarray]:
    """Order rows by question, shuffled, and cut them where a portion ends.

    Args:
        questions: Of each row, [rows].
        seed: Of the order.

    Returns:
        Row numbers of the first portion, of the first two, and so on up to all.
    """
    unique = np.unique(questions)
    place = np.empty(unique.max() + 1, dtype=np.int64)
    place[np.random.default_rng([seed, 2]).permutation(unique)] = np.arange(len(unique))
    order = np.argsort(place[questions], kind="stable")
    counts = sorted({min(len(unique), max(FEWEST_QUESTIONS, round(share * len(unique)))) for share in PORTIONS})
    return [order[: np.searchsorted(place[questions][order], count)] for count in counts]


def held_out_rows(questions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give the rows of the last questions among those known, at least one question."""
    unique = list(dict.fromkeys(questions[known].tolist()))
    last = unique[-max(1, round(HELD_OUT * len(unique))) :]
    return known[np.isin(questions[known], last)]


def _other_rows(data: RowData, seed: int) -> Tensor:
    """Exchange questions between rows."""
    order = np.random.default_rng([seed, 3]).permutation(len(data))
    return torch.from_numpy(order).to(data.query_of.device)


def _facts(trained: Trained, members: Sequence[Member]) -> Mapping[str, Tensor]:
    """Name what is known of every member, [layers, members]."""
    rates = torch.tensor([member.learning_rate for member in members], device=trained.score.device)
    return {
        "score": trained.score,
        "learning_rate": rates.expand_as(trained.score),
        "epoch": trained.best_epoch,
        "converged": trained.converged,
    }


def _taken(values: Tensor, taken: Tensor) -> np.ndarray:
    """Look up members' values: [layers, (rows,) members] to [layers, N, seeds(, rows)]."""
    layers = torch.arange(len(taken), device=taken.device)[:, None, None]
    found = values.movedim(-1, 1)[layers, taken]
    return found.cpu().numpy()
