"""Figures of a comparison are over the seeds that both sides have, and say which weights were scored."""

import numpy as np
import pytest

from pipeline.reporting import before_and_after, steps, transfer
from pipeline.reporting.estimates import gains, interval_of
from pipeline.reporting.reading import read_folders
from pipeline.reporting.section import interval_words
from tests.reporting.planted import plant_run, plant_scores, scores_of


def planted(number: int, before: float, after: float) -> dict[str, np.ndarray]:
    return {"zero_shot": scores_of(number + 100, before), "dense": scores_of(number + 200, after)}


def plant_unmatched(folder):
    """Pre-trained seeds 0, 1 and 2, of which seed 0 gains little; random weights of seed 0 alone."""
    for seed, after in ((0, 0.45), (1, 0.9), (2, 0.9)):
        plant_run(folder / f"pretrained-{seed}", seed=seed, systems=planted(seed, 0.4, after))
    plant_run(folder / "random-0", init="random", seed=0, systems=planted(10, 0.1, 0.25))
    return read_folders([folder])


def test_a_controlled_finding_and_its_row_are_over_matched_seeds_alone(tmp_path):
    cells = plant_unmatched(tmp_path)
    by_name = {cell.name: cell for cell in cells}
    gain = interval_of(gains([by_name["pretrained-0"]], "ndcg@10"))
    section = before_and_after.section(cells)
    whole, against = section.tables
    (row,) = against.rows
    assert row["seeds"] == 1 and row["gain"] == gain
    assert row["interaction"].mean == pytest.approx(row["gain"].mean - row["gain of random"].mean, abs=1e-12)
    assert [one["seeds"] for one in whole.rows] == [3, 1]
    (finding,) = section.findings
    assert interval_words(gain, signed=True) in finding
    assert "one seed, another may differ" in finding and "mean over 3 seeds" not in finding
    assert finding.endswith(" All of this is over the one seed that both have; 2 others are left out.")


def test_all_seeds_matched_leaves_nothing_to_say(tmp_path):
    for seed in (0, 1):
        plant_run(tmp_path / f"p{seed}", seed=seed, systems=planted(seed, 0.4, 0.6))
        plant_run(tmp_path / f"r{seed}", init="random", seed=seed, systems=planted(seed + 9, 0.1, 0.2))
    (finding,) = before_and_after.section(read_folders([tmp_path])).findings
    assert "mean over 2 seeds" in finding and "left out" not in finding


def test_steps_are_compared_seed_by_seed(tmp_path):
    plant_run(tmp_path / "10-0", steps=10, systems=planted(0, 0.4, 0.5))
    for seed, after in ((0, 0.52), (1, 0.95), (2, 0.95)):
        plant_run(tmp_path / f"30-{seed}", steps=30, seed=seed, systems=planted(seed + 50, 0.4, after))
    cells = read_folders([tmp_path])
    by_name = {cell.name: cell for cell in cells}
    gain = interval_of(by_name["30-0"].values("dense", "ndcg@10") - by_name["10-0"].values("dense", "ndcg@10"))
    section = steps.section(cells)
    (finding,) = section.findings
    assert interval_words(gain, signed=True) in finding and "2 runs whose seed has no match left out" in finding
    assert [row["seeds"] for row in section.tables[0].rows] == [1, 1, 3]


def test_steps_without_a_common_seed_are_not_compared(tmp_path):
    plant_run(tmp_path / "10", steps=10, seed=0)
    plant_run(tmp_path / "30", steps=30, seed=1)
    section = steps.section(read_folders([tmp_path]))
    assert section.findings == [] and len(section.tables[0].rows) == 3


def plant_below(folder, weights=None):
    for seed, below in ((0, {"ndcg@10": [0.4, 0.3]}), (1, {}), (2, {"ndcg@10": [0.4, 0.2]})):
        stage = {"name": "dpr"} | ({"weights": weights} if weights else {})
        plant_run(folder / str(seed), seed=seed, training={"best_step": 10, "below_start": below}, stage=stage)
    return read_folders([folder])


def test_seeds_that_ended_below_the_untrained_weights_are_counted_and_said(tmp_path):
    section = before_and_after.section(plant_below(tmp_path))
    assert section.tables[0].rows[0]["below its start"] == "2 of 3"
    (finding,) = section.findings
    assert "in 2 of 3 seeds the trained weights are below the untrained ones on validation" in finding
    assert "best on validation, of the steps after the first" in section.notes[0]


def test_it_is_said_which_weights_were_scored(tmp_path):
    last = "Scored after training are the weights of the last step (stage.weights=last), better or worse."
    assert before_and_after.section(plant_below(tmp_path, "last")).notes[0] == last


def test_steps_and_transfer_say_which_weights_were_scored(tmp_path):
    for count, best in ((10, 10), (30, 20)):
        run = plant_run(tmp_path / str(count), steps=count, training={"best_step": best})
    plant_scores(run / "transfer" / "other", planted(3, 0.5, 0.4), "other")
    cells = read_folders([tmp_path])
    line = steps.section(cells)
    assert [row.get("best step") for row in line.tables[0].rows] == ["", "10", "20"]
    for notes in (line.notes, transfer.section(cells).notes):
        assert any("best on validation" in note for note in notes)
    assert not any("falls to 0" in note for note in line.notes)
