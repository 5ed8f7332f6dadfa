"""What probes find is what was planted, and what the controls say of it."""

from itertools import pairwise

import numpy as np
import torch

from pipeline.probing.linear import layers as linear_layers
from pipeline.probing.linear.families import FAMILIES
from pipeline.probing.linear.layers import (
    Design,
    Parts,
    best_of,
    held_out_rows,
    online_code,
    portions,
    probe_layers,
    train_in_parts,
)
from pipeline.probing.linear.training import Recipe, train
from tests.probing.linear.planted_rows import planted_rows, scaled

DESIGN = Design((2, 3), (0, 1), (0.03, 0.1), Recipe(10_000, 100, 8), controls=True, seed=0)


def found(name: str, design: Design = DESIGN, **planted) -> dict[str, np.ndarray]:
    parts = [planted_rows(rows, seed=rows, **planted) for rows in (600, 200, 400)]
    return probe_layers(FAMILIES[name], Parts(*scaled(*parts)), design)


def test_concat_is_blind_to_the_question_and_bilinear_is_not():
    matching = {name: found(name, matching=1.5) for name in ("concat", "bilinear")}
    assert matching["bilinear"]["right"].mean() > 0.8
    assert matching["bilinear"]["shuffled"].mean() < 0.5
    assert matching["concat"]["right"].mean() < 0.5
    prior = found("concat", prior=2.0)
    assert prior["right"].mean() > 0.8
    # Shuffling the questions changes nothing but noise.
    assert abs(prior["right"].mean() - prior["shuffled"].mean()) < 0.02


def test_every_probe_that_sees_the_question_finds_what_matches():
    for name in ("dot", "cosine", "product", "mlp"):
        result = found(name, matching=3.0)
        assert result["right"].mean() > 0.7, name
        assert result["right"].mean() - result["shuffled"].mean() > 0.15, name


def test_the_planted_layer_is_found():
    result = found("bilinear", matching=2.0, layers=3)
    accuracy = result["right"].mean(axis=(1, 2, 3))
    assert accuracy.argmax() == 2
    assert accuracy[:2].max() < 0.55 < 0.8 < accuracy[2]
    assert result["score"].mean(axis=(1, 2)).argmax() == 2
    assert result["bits"].mean(axis=(1, 2)).argmin() == 2


def test_random_labels_are_not_learned_where_no_document_comes_twice():
    result = found("concat", prior=2.0)
    assert abs(result["control_right"][0, 0].mean() - 1 / 2) < 0.1
    assert abs(result["control_right"][0, 1].mean() - 1 / 3) < 0.1


def test_results_do_not_depend_on_what_fits_into_memory(monkeypatch):
    whole = found("concat", prior=1.0)
    monkeypatch.setattr(linear_layers, "NUMBERS_AT_ONCE", 1)
    alone = found("concat", prior=1.0)
    assert np.array_equal(whole["epoch"], alone["epoch"])
    assert np.mean(whole["right"] != alone["right"]) < 0.005
    assert np.allclose(whole["bits"], alone["bits"], rtol=1e-3)


def test_members_are_halved_when_memory_does_not_suffice(monkeypatch, capsys):
    training, validation = scaled(*(planted_rows(rows, prior=1.0, seed=rows) for rows in (60, 30)))
    members = DESIGN.members()
    whole = train_in_parts(FAMILIES["concat"], members, training, validation, DESIGN)
    tried = []

    def small_memory(family, some, *rest):
        tried.append(len(some))
        if len(some) > 3:
            raise torch.OutOfMemoryError("no more")
        return train(family, some, *rest)

    monkeypatch.setattr(linear_layers, "train", small_memory)
    parted = train_in_parts(FAMILIES["concat"], members, training, validation, DESIGN)
    assert tried == [12, 6, 3, 3, 3, 3]
    assert torch.allclose(parted.score, whole.score, atol=1e-5)
    assert capsys.readouterr().err.splitlines()[-1].endswith("going on with 3 probes at once.")


def test_the_learning_rate_is_chosen_on_validation():
    training, validation = scaled(*(planted_rows(rows, prior=1.0, seed=rows) for rows in (200, 100)))
    members = DESIGN.members()
    trained = train(FAMILIES["concat"], members, training, validation, DESIGN.recipe, 0)
    taken = best_of(trained, members, DESIGN, control=False)
    for place, n in enumerate(DESIGN.candidates):
        for column, seed in enumerate(DESIGN.seeds):
            own = [
                number
                for number, member in enumerate(members)
                if (member.candidates, member.seed, member.control) == (n, seed, False)
            ]
            assert taken[0, place, column] == max(own, key=lambda number: trained.score[0, number].item())


def test_portions_grow_by_question_and_cover_everything():
    questions = np.random.default_rng(0).integers(0, 64, 300)
    ends = portions(questions, seed=0)
    assert sorted(ends[-1].tolist()) == list(range(300))
    counts = [len(set(questions[part].tolist())) for part in ends]
    assert counts == [16, 32, len(set(questions.tolist()))]
    for smaller, larger in pairwise(ends):
        assert np.array_equal(larger[: len(smaller)], smaller)
        assert not set(questions[smaller]) & set(questions[larger[len(smaller) :]])
    held_out = held_out_rows(questions, ends[0])
    assert len(set(questions[held_out].tolist())) == 4  # a quarter of 16
    assert not set(questions[held_out]) & set(questions[ends[0][~np.isin(ends[0], held_out)]])


def test_the_online_code_is_the_sum_of_what_every_row_costs():
    (data,) = scaled(planted_rows(64, prior=1.0, seed=5))
    design = Design((2, 3), (0,), (0.1,), Recipe(10_000, 50, 5), controls=False, seed=0)
    bits, _ = online_code(FAMILIES["concat"], data, design)
    ends = portions(data.query_of.numpy(), 0)
    for place, n in enumerate(design.candidates):
        total = len(ends[0]) * np.log2(n)
        member = [design.members()[place]]
        for known, following in pairwise(ends):
            held_out = held_out_rows(data.query_of.numpy(), known)
            learned = known[~np.isin(known, held_out)]
            trained = train(
                FAMILIES["concat"], member, data.subset(learned), data.subset(held_out), design.recipe, design.seed
            )
            for row in following[len(known) :]:
                one = data.subset([row])
                logits = FAMILIES["concat"].logits(trained.parameters, member, one)[0, 0, 0, :n].double()
                chance = torch.softmax(logits, dim=0)[one.right_place(n, False)[0]]
                total -= float(torch.log2(chance))
        assert np.isclose(bits[0, place, 0], total, rtol=1e-4)
