"""The contrastive loss against a naive float64 reference, its chance level, and its gradient across ranks."""

import math
import os
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.losses import contrastive_loss, gather_with_gradient


def naive(scores: np.ndarray, targets: np.ndarray, masked: np.ndarray, temperature: float) -> float:
    total = 0.0
    for row in range(len(scores)):
        denominator = sum(
            math.exp(scores[row, column] / temperature) for column in range(scores.shape[1]) if not masked[row, column]
        )
        total -= math.log(math.exp(scores[row, targets[row]] / temperature) / denominator)
    return total / len(scores)


@settings(max_examples=40, deadline=None)
@given(queries=st.integers(1, 6), extra=st.integers(0, 5), temperature=st.floats(0.05, 2), seed=st.integers(0, 999))
def test_equals_the_definition(queries, extra, temperature, seed):
    generator = np.random.default_rng(seed)
    scores = generator.uniform(-1, 1, (queries, queries + extra))
    targets = generator.permutation(queries + extra)[:queries]
    masked = generator.random(scores.shape) < 0.3
    masked[np.arange(queries), targets] = False
    loss = contrastive_loss(*map(torch.as_tensor, (scores, targets, masked)), temperature)
    assert loss.item() == pytest.approx(naive(scores, targets, masked, temperature), abs=1e-9)


def test_equal_scores_give_the_chance_level():
    loss = contrastive_loss(torch.zeros(4, 12), torch.arange(4), torch.zeros(4, 12, dtype=torch.bool), 0.05)
    assert loss.item() == pytest.approx(math.log(12))


def test_a_masked_document_has_no_gradient():
    scores = torch.randn(2, 4, requires_grad=True)
    masked = torch.tensor([[False, False, True, False], [False] * 4])
    contrastive_loss(scores, torch.tensor([0, 1]), masked, 0.1).backward()
    assert scores.grad[0, 2] == 0
    assert scores.grad[1, 2] != 0


def test_bfloat16_scores_are_widened():
    scores = torch.randn(3, 3, dtype=torch.bfloat16)
    assert contrastive_loss(scores, torch.arange(3), torch.zeros(3, 3, dtype=torch.bool), 0.05).dtype == torch.float32


def two_towers(seed: int) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    torch.manual_seed(seed)
    return torch.nn.Linear(8, 4).double(), torch.nn.Linear(8, 4).double()


def batch_of(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """6 queries, a positive and a hard negative each, in the order of the queries; some pairs masked."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(6, 8, generator=generator).double()
    documents = torch.randn(12, 8, generator=generator).double()
    masked = torch.rand(6, 12, generator=generator) < 0.2
    masked[torch.arange(6), torch.arange(6) * 2] = False
    return queries, documents, masked


def gradients_of_rank(rank: int, ranks: int, port: int, results) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    query_tower, document_tower = two_towers(0)
    queries, documents, masked = batch_of(1)
    size = len(queries) // ranks
    mine = slice(rank * size, (rank + 1) * size)
    columns = gather_with_gradient(document_tower(documents[mine.start * 2 : mine.stop * 2]))
    loss = contrastive_loss(query_tower(queries[mine]) @ columns.T, torch.arange(6)[mine] * 2, masked[mine], 0.3)
    loss.backward()
    flat = torch.cat(
        [weight.grad.flatten() for tower in (query_tower, document_tower) for weight in tower.parameters()]
    )
    torch.distributed.all_reduce(flat)
    mean = loss.detach().clone()
    torch.distributed.all_reduce(mean)
    if rank == 0:
        results.put((mean.item() / ranks, (flat / ranks).numpy()))
    torch.distributed.destroy_process_group()


def test_two_ranks_with_hard_negatives_equal_one():
    query_tower, document_tower = two_towers(0)
    queries, documents, masked = batch_of(1)
    loss = contrastive_loss(query_tower(queries) @ document_tower(documents).T, torch.arange(6) * 2, masked, 0.3)
    loss.backward()
    alone = torch.cat([w.grad.flatten() for tower in (query_tower, document_tower) for w in tower.parameters()])

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=gradients_of_rank, args=(rank, 2, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    together_loss, together = results.get()
    for process in processes:
        process.join()
    assert together_loss == pytest.approx(loss.item(), abs=1e-6)
    assert np.abs(together - alone.numpy()).max() < 1e-6
