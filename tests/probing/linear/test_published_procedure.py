"""`protocol=published` against the first paper's procedure written plainly, and what each of its draws is."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn import functional

from benchmarks.plain_linear_probe import Row, accuracy, collate, train_one
from pipeline.entry import CONFIGS
from pipeline.probing.command import departures
from pipeline.probing.linear.data import RowData, drawn_below
from pipeline.probing.linear.families import FAMILIES
from pipeline.probing.linear.layers import Design, Parts, probe_layers
from pipeline.probing.linear.training import Recipe, train

WIDTH, POOL, SEEDS, CANDIDATES = 384, 16, range(5), (2, 5)


def planted(rows: int, states: np.random.Generator, easy: int) -> RowData:
    """Rows whose positives are moved in one direction, as are their negatives but for the first few."""
    moved = np.where(np.random.default_rng(9).random(WIDTH) < 0.5, -0.5, 0.5).astype(np.float32)
    documents = states.standard_normal((rows, 1 + POOL, WIDTH), dtype=np.float32)
    documents[:, 0] += moved
    documents[:, 1 + easy :] += 0.8 * moved
    return RowData(
        torch.from_numpy(states.standard_normal((1, rows, WIDTH), dtype=np.float32)),
        torch.from_numpy(documents.reshape(1, -1, WIDTH)),
        torch.arange(rows),
        torch.arange(rows * (1 + POOL)).view(rows, -1),
        {},
        {},
        torch.full((rows,), POOL),
    )


def plainly(data: RowData) -> tuple[list[Row], tuple[dict, dict]]:
    """The same as the plain procedure takes it: texts are numbers."""
    rows = [Row(place, documents[0], documents[1:]) for place, documents in enumerate(data.document_of.tolist())]
    return rows, tuple(dict(enumerate(states[0])) for states in (data.queries, data.documents))


def ours(parts: list[RowData], seed: int) -> np.ndarray:
    """What ours reads on test rows drawn for good, [N]."""
    design = Design(CANDIDATES, (seed,), (1e-4,), Recipe(32768, 30, None, "accuracy"), controls=False, seed=seed)
    drawn = Parts(parts[0], parts[1], parts[2].drawn(CANDIDATES, [seed]))
    return probe_layers(FAMILIES["concat"], drawn, design)["right"][0, :, 0].mean(axis=1)


def plain(parts: list[RowData], seed: int) -> np.ndarray:
    """What the plain procedure reads on the same test rows, [N]."""
    generator, shown, found = random.Random(seed), parts[2].drawn(CANDIDATES, [seed]), []
    for n in CANDIDATES:
        draws = [lambda part=part, n=n: collate(*part, n, generator) for part in map(plainly, parts[:2])]
        documents = shown.documents[0, shown.shown(n)].flatten(1)
        whole = torch.cat([shown.queries[0, shown.query_of], documents], dim=1)
        found.append(accuracy(train_one(*draws, seed=seed), whole, shown.right_place(n, False)))
    return np.array(found)


def test_it_reads_what_the_plain_procedure_reads_within_noise_over_five_seeds():
    states = np.random.default_rng(0)
    parts = [planted(rows, states, easy=8) for rows in (120, 40, 400)]
    mine, theirs = (np.array([way(parts, seed) for seed in SEEDS]) for way in (ours, plain))
    noise = np.sqrt((mine.var(axis=0, ddof=1) + theirs.var(axis=0, ddof=1)) / len(SEEDS))
    assert (np.abs(mine.mean(axis=0) - theirs.mean(axis=0)) < 3 * noise).all(), (mine, theirs)
    assert (mine.mean(axis=0) > 1.1 / np.array(CANDIDATES)).all()  # there is something to agree on
    few = [replace(part, pool=part.pool // 2, _computed={}) for part in parts]
    others = np.array([ours(few, seed) for seed in SEEDS])
    assert (others.mean(axis=0) > mine.mean(axis=0) + 3 * noise).all()  # a part of the pool would be told apart


def test_every_epoch_draws_negatives_from_the_whole_pool_and_places_anew():
    rows = 50
    numbers = torch.arange(rows * (1 + POOL))
    states = numbers[None, :, None].float()  # a document's state is its number
    pool = torch.arange(rows) % POOL + 1
    data = RowData(torch.zeros(1, rows, 1), states, torch.arange(rows), numbers.view(rows, -1), {}, {}, pool)
    places, seen = [], [set() for _ in range(rows)]
    for epoch in range(200):
        drawn = data.drawn((3,), [0, epoch])
        columns = drawn.documents[0, drawn.shown(3), 0].long() - data.document_of[:, :1]
        places.append(drawn.right_place(3, False))
        assert torch.equal((columns == 0).int(), functional.one_hot(places[-1], 3).int())
        for row, shown in enumerate(columns.tolist()):
            negatives = [column for column in shown if column]
            assert len(set(negatives)) == min(2, pool[row])
            seen[row] |= set(negatives)
    assert seen == [set(range(1, size + 1)) for size in pool.tolist()]
    assert not torch.equal(places[0], places[1])
    assert np.allclose(np.bincount(torch.cat(places)) / (200 * rows), 1 / 3, atol=0.02)
    assert torch.equal(data.drawn((2, 3), [0, 0]).right_place(3, False), places[0])  # again, whichever else is drawn


def test_drawing_is_uniform_with_and_without_replacement():
    generator = np.random.default_rng(0)
    found = drawn_below(np.repeat([5, 3], 20_000), 4, generator)
    enough, few = found[:20_000], found[20_000:]
    assert all(len(set(row)) == 4 for row in enough[:500].tolist())
    for column in range(4):
        assert np.allclose(np.bincount(enough[:, column]) / 20_000, 1 / 5, atol=0.015)
        assert np.allclose(np.bincount(few[:, column]) / 20_000, 1 / 3, atol=0.015)
    pairs = np.unique(np.sort(enough[:, :2], axis=1), axis=0, return_counts=True)[1]
    assert len(pairs) == 10
    assert np.allclose(pairs / 20_000, 1 / 10, atol=0.015)


def test_training_and_validation_draw_of_their_own_in_every_epoch(monkeypatch):
    drawn: list[list[int]] = []
    real = RowData.drawn

    def watched(self, candidates, seed):
        drawn.append([len(self), *seed])
        return real(self, candidates, seed)

    monkeypatch.setattr(RowData, "drawn", watched)
    parts = [planted(rows, np.random.default_rng(rows), easy=8) for rows in (30, 10)]
    members = Design((2,), (0,), (1e-4,), Recipe(32768, 3, None, "accuracy"), controls=False, seed=7).members()
    train(FAMILIES["concat"], members, *parts, Recipe(32768, 3, None, "accuracy"), seed=7)
    assert [seed for rows, *seed in drawn if rows == 30] == [[7, 1, 0], [7, 2, 0], [7, 3, 0]]
    assert [seed for rows, *seed in drawn if rows == 10] == [[7, 1, 1], [7, 2, 1], [7, 3, 1]]


def composed(name: str, *words: str):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return compose(name, [*words])


@pytest.mark.parametrize(
    "dataset", ["beir", "dpr", "huggingface", "huggingface_beir", "ir_datasets", "jsonl", "msmarco", "squad"]
)
def test_all_training_questions_and_negatives_are_read_by_the_published_protocol_alone(dataset):
    published = composed("probe", f"dataset={dataset}", "protocol=published").dataset
    assert published.validation_share == 0
    assert published.get("hard_negatives") is None
    for name in ("probe", "train"):
        usual = composed(name, f"dataset={dataset}").dataset
        assert usual.validation_share in (0.1, 0.01)
        assert usual.get("hard_negatives", 10) == 10


def test_a_setting_that_is_given_stays_and_is_named_whichever_the_protocol():
    words = ["dataset=dpr", "probe.seeds=[3]", "probe.lengths={query: 64, document: 512}", "dataset.limit=9"]
    config = composed("probe", "protocol=published", *words)
    assert (config.negatives._target_.rpartition(".")[2], config.seed, config.probe.epochs) == ("Given", 42, 30)
    assert departures(config) == [
        "dataset.limit=9 (the paper: null)",
        "probe.lengths.query=64 (the paper: 128)",
        "probe.seeds=[3] (the paper: [42])",
    ]
    assert departures(composed("probe", "protocol=published", "dataset=dpr")) == []
    sound = composed("probe", *words)
    assert (sound.negatives._target_.rpartition(".")[2], sound.seed, sound.probe.epochs) == ("Bm25Mined", 0, 400)
    assert departures(sound) == []
