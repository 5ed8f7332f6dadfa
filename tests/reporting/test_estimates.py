"""What fine-tuning adds and to whom it adds more, against float64 written out."""

import numpy as np
import pytest

from pipeline.reporting import before_and_after
from pipeline.reporting.cells import Cell
from pipeline.reporting.estimates import difference, interaction, share_before
from pipeline.reporting.reading import read_folders
from tests.reporting.planted import plant_grid, plant_run, scores_of


@pytest.fixture
def grid(tmp_path):
    planted = plant_grid(tmp_path)
    cells = read_folders([tmp_path]).finished
    return planted, {init: [cell for cell in cells if cell.name.startswith(init)] for init in ("pretrained", "random")}


def naive_bootstrap(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Draw queries one by one, with another generator than ours."""
    generator = np.random.Generator(np.random.MT19937(7))
    means = [np.mean([values[generator.integers(len(values))] for _ in values]) for _ in range(draws)]
    return tuple(np.quantile(np.asarray(means, dtype=np.float64), [0.025, 0.975]))


def by_query(planted, init: str) -> np.ndarray:
    both = [planted[init, seed]["dense"] - planted[init, seed]["zero_shot"] for seed in (0, 1)]
    return (both[0] + both[1]) / 2


def test_the_interaction_is_the_difference_of_differences_with_a_bootstrap_over_queries(grid):
    planted, cells = grid
    found = interaction(cells["pretrained"], cells["random"], "ndcg@10")
    values = by_query(planted, "pretrained") - by_query(planted, "random")
    assert found.mean == pytest.approx(values.sum() / len(values), abs=1e-12)
    low, high = naive_bootstrap(values)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_the_share_before_is_a_ratio_of_means_and_its_interval_moves_both(grid):
    planted, cells = grid
    found = share_before(cells["pretrained"], "ndcg@10")
    before = np.mean([planted["pretrained", seed]["zero_shot"] for seed in (0, 1)], axis=0)
    after = np.mean([planted["pretrained", seed]["dense"] for seed in (0, 1)], axis=0)
    assert found.mean == pytest.approx(before.sum() / after.sum(), abs=1e-12)
    generator = np.random.Generator(np.random.MT19937(7))
    drawn = [generator.integers(len(before), size=len(before)) for _ in range(2000)]
    low, high = np.quantile([before[rows].sum() / after[rows].sum() for rows in drawn], [0.025, 0.975])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_nothing_is_a_share_of_a_score_near_zero(tmp_path):
    before = scores_of(1, 0.5)
    for number, after in enumerate((np.full(len(before), 1e-12), np.zeros(len(before)), before + 1e-9 * before)):
        plant_run(tmp_path / str(number), steps=number, systems={"zero_shot": before, "dense": after})
    cells = read_folders([tmp_path]).finished
    assert [share_before([cell], "ndcg@10") for cell in cells[:2]] == [None, None]
    (table,) = before_and_after.section(read_folders([tmp_path])).tables
    shown = [table.shown("share before", row["share before"]) for row in table.rows]
    assert all(not share or 0 <= float(share.split()[0]) <= 1 for share in shown)


def test_only_seeds_that_both_have_are_compared(grid, tmp_path_factory):
    planted, cells = grid
    folder = tmp_path_factory.mktemp("more")
    plant_run(folder / "third", seed=2, systems={"zero_shot": scores_of(1, 0.1), "dense": scores_of(2, 0.9)})
    third: Cell = read_folders([folder]).finished[0]
    more = [*cells["pretrained"], third]
    assert interaction(more, cells["random"], "ndcg@10") == interaction(cells["pretrained"], cells["random"], "ndcg@10")
    assert interaction([third], cells["random"], "ndcg@10") is None
    assert difference([third], cells["random"], "dense", "ndcg@10") is None
    lead = difference(cells["pretrained"], cells["random"], "dense", "ndcg@10")
    expected = [planted["pretrained", seed]["dense"] - planted["random", seed]["dense"] for seed in (0, 1)]
    assert lead.mean == pytest.approx(np.mean(expected), abs=1e-12)
