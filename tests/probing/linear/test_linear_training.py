"""Training is Adam's, stops when nothing gets better, and says so when it was cut off."""

import numpy as np
import torch
from torch import nn

from pipeline.probing.linear.families import FAMILIES, Member
from pipeline.probing.linear.training import Adam, Recipe, train
from tests.probing.linear.planted_rows import planted_rows, scaled


def test_adam_is_torchs():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=generator)
    theirs = nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([theirs], lr=0.03)
    ours = {"weight": start.clone()}
    adam = Adam(ours)
    for _ in range(5):
        gradient = torch.randn(3, 4, generator=generator)
        theirs.grad = gradient.clone()
        optimiser.step()
        adam.step({"weight": gradient}, {"weight": torch.full((4,), 0.03)})
    assert torch.allclose(ours["weight"], theirs, atol=1e-6)


def test_concat_without_shortcuts_is_a_linear_layer_trained_on_whole_rows():
    # The first paper's way: z = [q; p_1; ...; p_N] through nn.Linear, full batches, the best epoch on validation.
    training, validation = (planted_rows(rows, prior=1.0, seed=rows) for rows in (60, 30))
    member = Member(3, 0, 0.01)
    trained = train(FAMILIES["concat"], [member], training, validation, Recipe(1000, 20, None, "accuracy"), seed=0)

    def rows_of(data):
        shown = data.documents[0, data.shown(3)]
        return torch.cat([data.queries[0, data.query_of], shown.flatten(1)], dim=1), data.right_place(3, False)

    start = FAMILIES["concat"].start(member, 8)
    layer = nn.Linear(4 * 8, 3)
    blocks = start["documents"].view(8, 3, 3)
    layer.weight.data = torch.cat([start["queries"], *(blocks[:, place] for place in range(3))]).T.clone()
    layer.bias.data = start["bias"].clone()
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.01)
    reached = []
    for _ in range(20):
        inputs, classes = rows_of(training)
        optimiser.zero_grad()
        nn.functional.cross_entropy(layer(inputs), classes).backward()
        optimiser.step()
        inputs, classes = rows_of(validation)
        reached.append((layer(inputs).argmax(dim=1) == classes).float().mean().item())
    assert np.isclose(trained.score.item(), max(reached))
    assert trained.best_epoch.item() == 1 + int(np.argmax(reached))


def test_a_probe_that_was_still_getting_better_has_not_converged():
    training, validation = scaled(*(planted_rows(rows, prior=2.0, seed=rows) for rows in (200, 100)))
    slow, fast = Member(2, 0, 1e-3), Member(2, 0, 0.3)
    trained = train(FAMILIES["concat"], [slow, fast], training, validation, Recipe(1000, 60, 5), seed=0)
    assert trained.converged.tolist() == [[False, True]]
    assert trained.best_epoch[0, 0] == 60


def test_without_patience_the_training_loss_says_whether_training_was_long_enough():
    training, validation = scaled(*(planted_rows(rows, matching=3.0, seed=rows) for rows in (200, 100)))
    slow, fast = Member(2, 0, 1e-4), Member(2, 0, 0.3)
    trained = train(FAMILIES["cosine"], [slow, fast], training, validation, Recipe(1000, 60, None, "accuracy"), 0)
    assert trained.best_epoch.tolist() == [[1, 1]]  # the order of cosines never changes: ties from the first epoch on
    assert trained.converged.tolist() == [[False, True]]


def test_the_weights_kept_are_those_of_the_best_epoch():
    training, validation = scaled(*(planted_rows(rows, prior=0.5, seed=rows) for rows in (30, 200)))
    members = [Member(2, seed, 0.3) for seed in range(3)]
    family = FAMILIES["concat"]
    trained = train(family, members, training, validation, Recipe(1000, 100, 10), seed=0)
    logits = family.logits(trained.parameters, members, validation)[0, :, :, :2]
    losses = [nn.functional.cross_entropy(logits[:, place], validation.right_place(2, False)) for place in range(3)]
    assert torch.allclose(-trained.score[0], torch.stack(losses), atol=1e-6)
    assert (trained.best_epoch < 50).all()
