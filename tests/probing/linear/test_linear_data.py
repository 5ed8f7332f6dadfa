"""Rows with states: what a subset, a scaling and the control task are."""

import numpy as np
import torch

from pipeline.data.texts import Texts
from pipeline.probing.linear.data import Scaling, control_answers
from pipeline.probing.linear.rows import CandidateRows
from tests.probing.linear.planted_rows import planted_rows


def texts(count: int) -> Texts:
    return Texts.from_pairs((str(number), "text") for number in range(count))


def test_the_control_task_is_decided_by_the_documents_alone():
    generator = np.random.default_rng(0)
    documents = np.stack([generator.permutation(6)[:3] for _ in range(300)])
    orders = {n: np.argsort(generator.random((300, n)), axis=1) for n in (2, 3)}
    rows = CandidateRows(np.arange(300), documents, orders, texts(300), texts(6), 0, None)
    right = control_answers(rows, seed=0)
    winners: dict[frozenset, int] = {}
    for n in (2, 3):
        for row in range(300):
            shown = documents[row, orders[n][row]]
            answer = documents[row, right[n][row]]
            assert answer in shown
            assert winners.setdefault(frozenset(shown.tolist()), answer) == answer
    # Those who win against all others make one order.
    wins = [sum(winner == document for pair, winner in winners.items() if len(pair) == 2) for document in range(6)]
    assert sorted(wins) == [0, 1, 2, 3, 4, 5]


def test_a_subset_has_the_same_states_by_row():
    data = planted_rows(20, layers=2)
    rows = torch.tensor([7, 3, 3, 19])
    part = data.subset(rows)
    assert part.queries.shape[1] == 3
    assert torch.equal(part.queries[:, part.query_of], data.queries[:, data.query_of[rows]])
    assert torch.equal(part.documents[:, part.document_of], data.documents[:, data.document_of[rows]])
    assert torch.equal(part.right_place(3, False), data.right_place(3, False)[rows])
    slices = list(data.slices(8))
    assert [len(one) for one in slices] == [8, 8, 4]
    batches = list(data.batches(8, seed=0, epoch=1))
    taken = torch.cat([one.queries[:, one.query_of] for one in batches], dim=1)
    assert torch.equal(
        taken.sum(dim=1).sort().values.round(decimals=3), data.queries.sum(dim=1).sort().values.round(decimals=3)
    )
    again = list(data.batches(8, seed=0, epoch=1))
    other = list(data.batches(8, seed=0, epoch=2))
    assert torch.equal(batches[0].queries, again[0].queries)
    assert not torch.equal(batches[0].queries, other[0].queries)


def test_standardised_states_have_length_one_and_constant_coordinates_are_zero():
    data = planted_rows(500, layers=2, width=16)
    data.documents[0] = 7.0 + 1e-7 * data.documents[0]
    scaled = data.scaled(Scaling.of(data))
    assert torch.allclose(scaled.queries.mean(dim=1), torch.zeros(2, 16), atol=1e-6)
    assert torch.allclose(scaled.queries.square().sum(dim=2).mean(dim=1), torch.ones(2), atol=1e-3)
    assert (scaled.documents[0] == 0).all()
    lengths = data.scaled(Scaling.of_length(data)).documents.square().sum(dim=2).mean(dim=1)
    assert torch.allclose(lengths, torch.ones(2), atol=1e-5)
