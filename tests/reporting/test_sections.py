"""What sections say, and what they do not say where the data do not allow it."""

import json

import numpy as np
import pytest
import yaml

from pipeline.evaluation.statistics import Interval
from pipeline.reporting import (
    before_and_after,
    collapse,
    cost,
    main_table,
    pretraining,
    probes,
    queries,
    speed,
    steps,
    transfer,
    what_was_run,
)
from pipeline.reporting.bases import base_of
from pipeline.reporting.reading import read_folders
from tests.reporting.planted import plant_grid, plant_probe, plant_run, plant_scores, scores_of

RECORD = {
    "steps": 10,
    "tokens": 1000,
    "loss": 6.3,
    "unigram_entropy": 6.2,
    "loss_before": 10.4,
    "anisotropy_before": 0.3,
    "anisotropy": 0.9,
    "learned": False,
    "gain": {"mean": -0.1, "low": -0.2, "high": 0.05},
    "texts": "wiki",
    "base": "bert, random",
}


@pytest.fixture
def grid(tmp_path):
    plant_grid(tmp_path / "grid")
    return tmp_path / "grid"


def test_what_runs_say_of_their_data_is_said_once(grid):
    for path in grid.glob("*/metrics.json"):
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps(metrics | {"remarks": ["Queries of test that are queries of train too: 2."]}))
    assert what_was_run.section(read_folders([grid])).notes == [
        "toy (toy), test: Queries of test that are queries of train too: 2."
    ]


def test_seeds_are_merged_into_one_row_with_their_spread(grid):
    section = main_table.section(read_folders([grid]))
    rows = section.tables[0].rows
    assert [(row["system"], row["backbone.init"], row["seeds"]) for row in rows] == [
        ("bm25", "", None),
        ("dense", "pretrained", 2),
        ("dense", "random", 2),
    ]
    cells = [cell for cell in read_folders([grid]) if cell.name.startswith("pretrained")]
    means = [cell.metrics["systems"]["dense"]["ndcg@10"] for cell in cells]
    assert rows[1]["nDCG@10"].mean == pytest.approx(np.mean(means))
    assert rows[1]["sd over seeds"] == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
    assert rows[1]["better than"] == "ac"
    assert "significantly above all of 2 others (Holm), next BM25" in section.findings[0]


def test_an_approximate_index_has_its_least_recall_beside_its_figures(grid):
    for seed, share in ((0, 0.91), (1, 0.82)):
        path = grid / f"random-{seed}" / "metrics.json"
        metrics = json.loads(path.read_text())
        found = {"recall": {"10": 0.97, "1000": share}}
        metrics["details"] = {"dense": {"index": "faiss IVF64,Flat", "approximate": found}}
        path.write_text(json.dumps(metrics))
    cells = read_folders([grid])
    rows = main_table.section(cells).tables[0].rows
    assert [row["recall of exact search"] for row in rows] == [None, None, 0.82]
    notes = what_was_run.section(cells).notes
    assert [note for note in notes if "approximately" in note] == [
        "Searched approximately (faiss IVF64,Flat, recall@10): 0.9700 of what exact search finds, in the folder where it"
        " is the least.",
        "Searched approximately (faiss IVF64,Flat, recall@1000): 0.8200 of what exact search finds, in the folder where"
        " it is the least.",
    ]


@pytest.fixture
def many(tmp_path):
    """More runs than every two of which are compared, BM25 above them all."""
    folder = tmp_path / "many"
    bm25 = scores_of(99, 0.9)
    for number in range(14):
        systems = {"bm25": bm25, "zero_shot": scores_of(7, 0.3), "dense": scores_of(number, 0.3 + number / 50)}
        plant_run(folder / f"trained {number}", steps=number + 1, systems=systems)
    untrained = {"bm25": bm25, "dense": scores_of(7, 0.3)}
    plant_run(folder / "untrained", steps=0, systems=untrained)
    return folder


def test_of_many_rows_all_are_compared_with_the_best_encoder_and_the_baselines(many):
    section = main_table.section(read_folders([many]))
    (table,) = section.tables
    rows = {row["trainer.max_steps"]: row for row in table.rows}
    letters = {steps: row[""] for steps, row in rows.items()}
    assert (
        f"of all others with {letters['14']} (the highest encoder), a (BM25), {letters['0']} (the highest encoder without "
        "training), Holm-corrected over 42 comparisons"
    ) in table.note
    # BM25 is the highest, and the best encoder is told from weaker ones all the same.
    assert letters["1"] in rows["14"]["better than"] and letters["0"] in rows["14"]["better than"]
    assert rows[""]["better than"].startswith("bc")
    assert any("of the encoders the highest nDCG@10 is that of max_steps 14" in finding for finding in section.findings)
    (against,) = [finding for finding in section.findings if "significantly above max_steps 0" in finding]
    above = sum(letters["0"] in row["better than"] for steps, row in rows.items() if steps not in ("", "0"))
    assert f"of 14 encoders, {above} are significantly above max_steps 0, nDCG@10" in against and above > 3


def test_of_many_rows_without_baselines_all_are_compared_with_the_best(tmp_path):
    systems = {f"model {number}": scores_of(number, 0.3 + number / 50) for number in range(14)}
    plant_scores(tmp_path / "many", systems)
    table = main_table.section(read_folders([tmp_path / "many"])).tables[0]
    assert "of all others with n (the highest encoder), Holm-corrected over 13 comparisons" in table.note


def test_findings_are_ordered_by_how_telling_they_are(tmp_path):
    noise = np.random.default_rng(3).normal(0, 0.05, 40)
    for number, gain in enumerate((0.0, 0.01, 0.5, 0.02, 0.03, 0.0, 0.2, 0.04)):
        systems = {"zero_shot": scores_of(4, 0.3), "dense": scores_of(4, 0.3) + noise + gain}
        plant_run(tmp_path / str(number), dataset=f"set{number}", systems=systems)
    findings = before_and_after.section(read_folders([tmp_path])).findings
    assert len(findings) == before_and_after.MOST_FINDINGS + 1
    assert ["set2" in findings[0], "set6" in findings[1], "set7" in findings[2]] == [True] * 3
    assert findings[-1] == "2 more of this kind, less telling, are in the tables."


def test_a_line_beyond_the_first_is_drawn_and_said_where_it_is_the_one_that_changes(tmp_path):
    noise = np.random.default_rng(3).normal(0, 0.01, 40)
    for number in range(steps.SERIES + 2):
        for count in (10, 100):
            changed = scores_of(1, 0.4) + noise + (count / 200 if number == steps.SERIES + 1 else 0.0)
            plant_run(
                tmp_path / f"{number}-{count}",
                steps=count,
                stage={"name": "dpr", "rate": number},
                systems={"zero_shot": scores_of(1, 0.4), "dense": changed},
            )
    section = steps.section(read_folders([tmp_path]))
    assert f"rate {steps.SERIES + 1}: from 10 to 100 steps, +0.45" in section.findings[0]
    assert f"rate {steps.SERIES + 1}" in section.charts[0].svg
    assert "that change most surely" in section.charts[0].note


def test_what_was_given_is_set_against_random_weights_of_the_same_build(grid):
    section = before_and_after.section(read_folders([grid]))
    before, against = section.tables
    assert [(row["base"], row["weights"]) for row in before.rows] == [
        ("bert, 2 layers", "pre-trained"),
        ("bert, 2 layers", "random weights"),
    ]
    (row,) = against.rows
    assert row["control"] == "same architecture"
    assert row["interaction"].mean == pytest.approx(row["gain"].mean - row["gain of random"].mean)
    (finding,) = section.findings
    assert "mean over 2 seeds" in finding
    assert "Control: the same steps from random weights of the same architecture add" in finding
    assert "Fine-tuning adds more to these weights than to random ones" in finding


def test_what_cannot_be_told_is_not_said(tmp_path):
    same = scores_of(5, 0.4)
    noise = np.clip(same + np.random.default_rng(0).normal(0, 0.05, len(same)), 0, 1)
    for init in ("pretrained", "random"):
        plant_run(tmp_path / init, init=init, systems={"zero_shot": same, "dense": noise})
    (finding,) = before_and_after.section(read_folders([tmp_path])).findings
    assert "before and after fine-tuning bert, 2 layers cannot be told apart" in finding
    assert "only 40 queries, one seed, another may differ" in finding
    assert "The two gains cannot be told apart" in finding
    assert "adds more" not in finding


def test_a_masked_lm_base_that_learned_nothing_is_never_called_pre_trained(tmp_path):
    plant_run(tmp_path / "mlm", training={"pretraining": RECORD}, pretraining={"steps": 10})
    plant_run(tmp_path / "random", init="random")
    cells = read_folders([tmp_path])
    weights = [row["weights"] for row in before_and_after.section(cells).tables[0].rows]
    assert weights[0] == "masked-LM here, under-trained"
    assert not any("pre-trained" in words for words in weights)
    section = pretraining.section(cells)
    assert section.tables[0].rows[0]["learned"] == "no"
    assert "between them -0.100 [-0.200, 0.050]" in section.findings[0]
    assert "learned too little" in section.findings[0]


@pytest.mark.parametrize(
    ("source", "path", "renamed", "said"),
    [
        (
            "Squad",
            "data/squad/dev-v1.1.json",
            False,
            "On texts its zero-shot is untrue: it was tuned on texts of this kind",
        ),
        ("Withheld", ["a/new_wiki_v1.0.json", "a/train-v1.1.json"], False, "On texts its zero-shot is untrue"),
        ("Withheld", "a/train-v1.1.json", True, "For texts it was tuned on questions of the same style (SQuAD)."),
        (
            "Squad",
            ["squadshifts/new_wiki_v1.0.json"],
            False,
            "For texts it was tuned on questions of the same style (SQuAD).",
        ),
        ("Squad", "data/squadshifts.json", False, "For texts it was tuned on questions of the same style (SQuAD)."),
    ],
)
def test_a_base_that_was_tuned_for_retrieval_before_is_called_so(tmp_path, source, path, renamed, said):
    dataset = {"_target_": f"pipeline.data.any.{source}", "path": path, "rename_entities": renamed}
    target = "pipeline.encoders.backbones.MiniLM"
    run = plant_run(tmp_path / "run", target=target, dataset="texts")
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "dataset": dataset}))
    section = before_and_after.section(read_folders([run]))
    assert section.tables[0].rows[0]["weights"] == "tuned for retrieval before"
    (warned,) = [note for note in section.notes if "was tuned for retrieval before" in note]
    assert said in warned
    assert ("untrue" in warned) == ("untrue" in said)


def test_runs_that_nothing_tells_apart_are_called_by_their_base(tmp_path):
    for seed in (0, 1):
        plant_run(tmp_path / f"a=b,seed={seed},0123abcd", seed=seed)
    cells = read_folders([tmp_path])
    said = " ".join([*main_table.section(cells).findings, *before_and_after.section(cells).findings])
    assert "that of bert, 2 layers, 0." in said
    assert "seed=" not in said and "(bert" not in said
    assert "seed=" not in queries.section(cells).tables[0].note


def test_one_is_no_plural(tmp_path):
    systems = {"zero_shot": np.array([0.2]), "dense": np.array([0.5])}
    run = plant_run(tmp_path / "run", systems=systems)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("layers: 2", "layers: 1"))
    cells = read_folders([run])
    (finding,) = before_and_after.section(cells).findings
    assert "bert, 1 layer cannot be told apart" in finding and "only 1 query, one seed" in finding
    assert any(note.startswith("In all 1 run: 10 training steps") for note in cost.section(cells).notes)


def test_a_local_base_is_what_its_run_folder_says(tmp_path):
    base = plant_run(tmp_path / "base")
    run = plant_run(tmp_path / "run", target="pipeline.encoders.backbones.Local")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("path: bert", f"path: {base}/model"))
    assert base_of(read_folders([run]).finished[0]).kind == "fine-tuned before"
    (base / "metrics.json").write_text(json.dumps({"systems": {}, "training": {"pretraining": RECORD}}))
    assert base_of(read_folders([run]).finished[0]).kind == "under-trained"
    (base / "metrics.json").unlink()
    assert base_of(read_folders([run]).finished[0]).kind == "given"


def test_steps_are_a_line_from_zero_shot_on(tmp_path):
    for count, level in ((10, 0.5), (100, 0.7)):
        systems = {"zero_shot": scores_of(1, 0.4), "dense": scores_of(2, level)}
        plant_run(tmp_path / str(count), steps=count, systems=systems)
    section = steps.section(read_folders([tmp_path]))
    assert [row["steps"] for row in section.tables[0].rows] == [0, 10, 100]
    assert "from 10 to 100 steps, +0.2" in section.findings[0]
    assert section.charts[0].svg.count("<circle") == 3
    assert steps.section(read_folders([tmp_path / "10"])) is None


def test_bases_that_differ_in_more_than_their_names_are_told_apart_in_every_table(tmp_path):
    for rate in (1, 2):
        for count in (10, 100):
            run = plant_run(tmp_path / f"{rate}-{count}", steps=count)
            config = yaml.safe_load((run / "config.yaml").read_text())
            config["backbone"]["dropout"] = rate / 10
            (run / "config.yaml").write_text(yaml.safe_dump(config))
    cells = read_folders([tmp_path])
    lines = {row["line"] for row in steps.section(cells).tables[0].rows}
    assert lines == {"bert, 2 layers, pre-trained, dropout 0.1", "bert, 2 layers, pre-trained, dropout 0.2"}
    rows = [
        tuple(value for value in row.values() if isinstance(value, str))
        for row in before_and_after.section(cells).tables[0].rows
    ]
    assert len(set(rows)) == len(rows) == 4


def plant_transfer(folder, trained_on: str, tested_on: str, name: str) -> None:
    """Write a run with its scores on another dataset, which lost a tenth, and of which a hybrid gains a fifth."""
    run = plant_run(folder / f"{trained_on}-{tested_on}", dataset=trained_on)
    (run / "overrides.yaml").write_text(yaml.safe_dump([f"trained_on={trained_on}"]))
    systems = {"bm25": scores_of(9, 0.3), "zero_shot": scores_of(8, 0.5), "dense": scores_of(8, 0.5) - 0.1}
    plant_scores(run / "transfer" / name, systems | {"hybrid": scores_of(8, 0.5) + 0.2}, tested_on)


def test_transfer_is_a_matrix_of_gains_over_zero_shot(tmp_path):
    plant_transfer(tmp_path, "one", "two", "two")
    plant_transfer(tmp_path, "two", "one", "one")
    section = transfer.section(read_folders([tmp_path]))
    table, scores = section.tables
    assert [row["trained on"] for row in table.rows] == ["one (one)", "two (two)"]
    assert table.rows[0]["two (two)"] == Interval(*[pytest.approx(-0.1)] * 3)
    assert table.rows[1]["two (two)"].mean > 0
    assert "helps on the other in 0, harms in 2" in section.findings[0]
    (away,) = [row for row in scores.rows if (row["tested on"], row["trained on"]) == ("two (two)", "one (one)")]
    mean = scores_of(8, 0.5).mean()
    means = {name: value.mean for name, value in away.items() if isinstance(value, Interval)}
    assert means == {
        "BM25": pytest.approx(scores_of(9, 0.3).mean()),
        "zero-shot": pytest.approx(mean),
        "trained": pytest.approx(mean - 0.1),
        "hybrid of trained and BM25": pytest.approx(mean + 0.2),
    }


def test_a_transfer_table_names_no_one_source_for_all_of_its_rows(tmp_path):
    plant_transfer(tmp_path, "one", "two", "two")
    plant_transfer(tmp_path, "two", "one", "one")
    section = transfer.section(read_folders([tmp_path]))
    assert [table.title for table in section.tables if "trained_on" in table.title] == []
    assert "trained_on" not in section.findings[0]


def test_unlike_contents_of_one_name_are_columns_of_their_own(tmp_path):
    plant_transfer(tmp_path, "one", "aaaaaaaa", "docs")
    plant_transfer(tmp_path, "two", "bbbbbbbb", "docs")
    table = transfer.section(read_folders([tmp_path])).tables[0]
    assert {"docs (aaaaaaaa)", "docs (bbbbbbbb)"} < set(table.columns)


def test_a_collapse_is_counted(tmp_path):
    plant_run(tmp_path / "good")
    collapsed = {"collapsed": True, "collapsed_at": 5, "collapsed_steps": [5, 10], "collapsed_towers": {"query": "…"}}
    plant_run(tmp_path / "bad", seed=1, training=collapsed)
    section = collapse.section(read_folders([tmp_path]))
    assert [row["collapsed"] for row in section.tables[0].rows] == ["from step 5", "no"]
    assert section.findings == ["1 of 2 trainings ended collapsed: bad. Their scores say what that costs, no more."]


def test_latency_is_set_beside_quality(tmp_path):
    folder = tmp_path / "evaluation"
    plant_scores(folder, {"small": scores_of(1, 0.4), "large": scores_of(2, 0.6)})
    header = "model,side,batch_size,both_p50_ms,both_p95_ms,threads,device,precision"
    rows = ["small,query,1,0.1,0.2,1,cpu,float32", "large,query,1,4.0,5.0,1,cpu,float32", "large,query,32,9,9,1,cpu,x"]
    rows.append("large,query,1,4")  # cut
    (folder / "latency.csv").write_text("\n".join([header, *rows]) + "\n")
    section = speed.section(read_folders([folder]))
    assert [row["median ms"] for row in section.tables[0].rows] == [0.1, 4.0]
    assert "small encodes a query in 0.10 ms, 40 times as fast as large (4.00 ms)" in section.findings[0]
    assert speed.section(read_folders([plant_run(tmp_path / "run")])) is None


def test_a_probe_is_shown_with_its_findings_and_smaller_pictures(tmp_path, png):
    section = probes.section(read_folders([plant_probe(tmp_path / "probe", png)]))
    assert section.notes == ["linear: base on toy: Layer 1 is above layer 0 by +0.25 [0.1, 0.4]."]
    assert section.tables[0].rows[1] == {"layer": 1, "accuracy": 0.75}
    assert int.from_bytes(section.pictures[0].content[16:20], "big") == probes.WIDEST


def test_a_picture_that_cannot_be_read_is_named_and_left_out(tmp_path, png):
    folder = plant_probe(tmp_path / "probe", png)
    (folder / "plots" / "cut.png").write_bytes(png[: len(png) // 2])
    (folder / "plots" / "empty.png").write_bytes(b"")
    section = probes.section(read_folders([folder]))
    assert [picture.title for picture in section.pictures] == ["probe: layers"]
    assert section.notes[-1] == "Pictures that cannot be read: probe/cut.png, probe/empty.png."


def test_queries_that_gained_most_come_first_and_those_that_lost_most_last(tmp_path):
    before = np.full(40, 0.5)
    after = before.copy()
    after[7], after[3] = 1.0, 0.1
    plant_run(tmp_path / "run", systems={"zero_shot": before, "dense": after})
    table = queries.section(read_folders([tmp_path / "run"])).tables[0]
    assert [(row["query"], row["gain"]) for row in table.rows] == [("query 7", 0.5), ("query 3", -0.4)]
    assert "1 query gained, 1 lost, 38 stayed" in table.note


def test_queries_of_a_training_that_changed_nothing_are_not_shown(tmp_path):
    same = np.full(40, 0.9)
    plant_run(tmp_path / "kept", systems={"zero_shot": same, "dense": same})
    assert queries.section(read_folders([tmp_path])) is None
    plant_run(tmp_path / "changed", steps=99, systems={"zero_shot": same, "dense": scores_of(1, 0.3)})
    assert "max_steps 99" in queries.section(read_folders([tmp_path])).tables[0].note


def test_a_base_is_warned_of_once(tmp_path):
    for dataset in ("one", "two"):
        plant_run(tmp_path / dataset, dataset=dataset, target="pipeline.encoders.backbones.MiniLM")
    notes = before_and_after.section(read_folders([tmp_path])).notes
    assert sum("was tuned for retrieval before" in note for note in notes) == 1


def test_cost_is_added_up(grid):
    for seed in (0, 1):
        figures = {"seconds": 10.0, "encoded_texts": 500, "encoded_tokens": 9000, "looked_up_texts": 5}
        (grid / f"random-{seed}" / "cost.json").write_text(json.dumps(figures))
    section = cost.section(read_folders([grid]))
    assert section.notes[0].startswith("In all 4 runs: 20 seconds, 1,000 encoded texts")
    assert "2 of 4 runs are of an older form" in section.notes[1]


def test_what_was_varied_and_what_is_missing_is_said(grid):
    (grid / "half").mkdir()
    (grid / "half" / "log.txt").write_text("begun\n")
    plant_run(grid / "elsewhere", dataset="other", seed=5)
    section = what_was_run.section(read_folders([grid]))
    folders, axes, absent = section.tables
    assert {row["what"]: row["number"] for row in folders.rows} == {"finished runs": 5, "unfinished": 1}
    assert {row["axis"]: row["values"] for row in axes.rows}["backbone.init"] == "pretrained, random"
    assert absent.rows[0]["cell"] == "half"
    (grid / "sweep.json").write_text(json.dumps({"name": "grid", "axes": {"seed": [0, 1]}, "cells": []}))
    rows = what_was_run.section(read_folders([grid])).tables[1].rows
    assert [(row["axis"], row["values"]) for row in rows] == [("seed", "0, 1"), ("backbone.init", "pretrained, random")]
    assert "compared only within each" in section.notes[0]
