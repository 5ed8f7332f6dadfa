"""Every kind of probe computes what its formula says, and many at once what each computes alone."""

import numpy as np
import pytest
import torch

from pipeline.probing.linear.families import FAMILIES, HIDDEN, RANK, Member, Parameters
from pipeline.probing.linear.training import Recipe, train
from tests.probing.linear.planted_rows import planted_rows, scaled

MEMBERS = [Member(n, seed, rate) for n in (2, 3) for seed in (0, 1) for rate in (0.01, 0.1)]


def naive_logits(name: str, own: Parameters, query: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """One row's logits in float64; `documents` [N, width] as they are shown."""
    one = {key: value.double().numpy() for key, value in own.items()}
    if name == "concat":
        n, width = documents.shape
        blocks = one["documents"].reshape(width, n, n)  # width, place, class
        weight = np.concatenate([one["queries"], *(blocks[:, place] for place in range(n))])
        return np.concatenate([query, *documents]) @ weight + one["bias"]
    scores = {
        "dot": lambda p: np.exp(10 * one["sharpness"][0]) * (query @ p),
        "cosine": lambda p: np.exp(10 * one["sharpness"][0]) * (query @ p) / np.linalg.norm(query) / np.linalg.norm(p),
        "product": lambda p: len(p) ** 0.5 * (query * p) @ one["weight"][:, 0],
        "bilinear": lambda p: query @ (one["queries"] @ one["documents"].T) @ p,
        "mlp": lambda p: np.maximum(0, query @ one["queries"] + p @ one["documents"] + one["bias"]) @ one["out"],
    }
    return np.array([scores[name](p) for p in documents])


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_the_formula(name):
    family, data = FAMILIES[name], planted_rows(6, layers=2)
    first = [family.start(member, 8) for member in MEMBERS]
    generator = torch.Generator().manual_seed(1)
    for one in first:
        for value in one.values():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    joined = {
        key: torch.cat([one[key] for one in first], dim=-1).expand(2, *[-1] * first[0][key].dim()) for key in first[0]
    }
    found = family.logits(joined, MEMBERS, data)
    assert found.shape == (2, 6, len(MEMBERS), 3)
    for layer in range(2):
        for row in range(6):
            query = data.queries[layer, data.query_of[row]].double().numpy()
            for place, member in enumerate(MEMBERS):
                shown = data.documents[layer, data.shown(member.candidates)[row]].double().numpy()
                expected = naive_logits(name, first[place], query, shown)
                assert np.allclose(found[layer, row, place, : member.candidates], expected, atol=1e-4), (row, member)
                assert (found[layer, row, place, member.candidates :] == -torch.inf).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_many_at_once_are_each_alone(name):
    family = FAMILIES[name]
    training, validation = scaled(
        *(planted_rows(rows, matching=0.5, prior=0.5, layers=2, seed=rows) for rows in (80, 40))
    )
    recipe = Recipe(batch_size=32, epochs=12, patience=3)
    members = [
        Member(n, seed, rate, control) for n in (2, 3) for seed, rate, control in ((0, 0.1, False), (1, 0.01, True))
    ]
    together = train(family, members, training, validation, recipe, seed=0)
    assert len(set(together.best_epoch.flatten().tolist())) > 1  # they end at different times
    for place, member in enumerate(members):
        alone = train(family, [member], training, validation, recipe, seed=0)
        assert torch.allclose(together.score[:, place], alone.score[:, 0], atol=1e-5)
        assert torch.equal(together.best_epoch[:, place], alone.best_epoch[:, 0])
        ours = family.logits(together.parameters, members, validation)[:, :, place]
        theirs = family.logits(alone.parameters, [member], validation)[:, :, 0]
        finite = theirs.isfinite()
        assert torch.allclose(ours[finite], theirs[finite], atol=1e-4)


def test_equal_scores_do_not_make_the_positive_win():
    data = planted_rows(400)
    constant = data.with_queries(torch.zeros_like(data.query_of))
    constant.documents[:] = 1.0
    family, member = FAMILIES["cosine"], Member(3, 0, 0.1)
    logits = family.logits({"sharpness": torch.ones(1, 1)}, [member], constant)
    right = logits.argmax(dim=3)[0, :, 0] == constant.right_place(3, False)
    assert 0.25 < right.float().mean() < 0.42


def test_sizes_are_those_that_are_documented():
    assert FAMILIES["concat"].start(Member(5, 0, 0.1), 8)["documents"].shape == (8, 25)
    assert FAMILIES["bilinear"].start(Member(5, 0, 0.1), 8)["queries"].shape == (8, RANK)
    assert FAMILIES["mlp"].start(Member(5, 0, 0.1), 8)["out"].shape == (HIDDEN,)
