"""Objectives against naive float64 references, and their chance levels against a tower that says one thing."""

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.training.losses import contrastive_loss
from pipeline.training.objectives import objective

TARGETS = torch.tensor([0, 2, 4])


def vectors(rows: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


def softmax(row: np.ndarray) -> np.ndarray:
    return np.exp(row) / np.exp(row).sum()


def naive(name: str, queries: np.ndarray, wanted: np.ndarray, temperature: float) -> float:
    total = 0.0
    for query, target in zip(queries, wanted, strict=True):
        if name == "squared_error":
            total += sum((a - b) ** 2 for a, b in zip(query, target, strict=True))
        else:
            p, q = softmax(target / temperature), softmax(query / temperature)
            total += sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(queries)


@pytest.mark.parametrize("name", ["squared_error", "embedding_divergence"])
def test_distillation_against_the_definition(name):
    queries, documents = vectors(3, 0), vectors(6, 1)
    masked = torch.zeros(3, 6, dtype=torch.bool)
    loss = objective(name, 0.3, "row").loss(queries, documents, TARGETS, masked)
    assert float(loss) == pytest.approx(naive(name, queries.numpy(), documents[TARGETS].numpy(), 0.3), abs=1e-12)
    assert float(objective(name, 0.3, "row").loss(documents[TARGETS], documents, TARGETS, masked)) == pytest.approx(0)


def test_contrastive_is_the_contrastive_loss():
    queries, documents, masked = vectors(3, 0), vectors(6, 1), torch.zeros(3, 6, dtype=torch.bool)
    made = objective("contrastive", 0.3, "global")
    expected = contrastive_loss(queries @ documents.T, TARGETS, masked, 0.3, "global")
    assert float(made.loss(queries, documents, TARGETS, masked)) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["contrastive", "squared_error", "embedding_divergence"])
def test_chance_is_what_one_vector_for_all_texts_earns(name):
    documents, masked = vectors(6, 1), torch.zeros(3, 6, dtype=torch.bool)
    made = objective(name, 0.3, "row")
    constant = torch.nn.functional.normalize(documents[TARGETS].mean(dim=0), dim=0).expand(3, 5)
    answers = documents if name != "contrastive" else documents[:1].expand(6, 5)
    assert float(made.chance(documents, TARGETS, masked)) == pytest.approx(
        float(made.loss(constant, answers, TARGETS, masked)), abs=1e-9
    )


def test_the_mean_direction_is_the_best_constant_for_unit_vectors():
    documents, masked = vectors(6, 1), torch.zeros(3, 6, dtype=torch.bool)
    made = objective("squared_error", 0.3, "row")
    others = [float(made.loss(vectors(1, seed).expand(3, 5), documents, TARGETS, masked)) for seed in range(50)]
    assert float(made.chance(documents, TARGETS, masked)) <= min(others)


def test_an_unknown_objective_is_refused():
    with pytest.raises(UserError, match=r"stage\.objective=cosine"):
        objective("cosine", 0.05, "row")
