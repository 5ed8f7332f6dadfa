"""The files of a run folder, and the table that is printed from them."""

import csv
import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.evaluation.measures import measure
from pipeline.evaluation.report import LETTERS, caption, print_folder, require_letters, results_table
from pipeline.evaluation.results import Results, SystemResult, write_results
from pipeline.evaluation.significance import compare
from pipeline.retrieval.trec import read_trec

QUERIES = {f"q{number}": f"question {number}" for number in range(30)}
REMARKS = ["Queries of test that are queries of train too: 2."]
JUDGEMENTS = {query: {"right": 1} for query in QUERIES}


@pytest.fixture
def results(run_of) -> Results:
    good = run_of({query: {"right": 2.0, "wrong": 1.0} for query in QUERIES}, "dense")
    bad = run_of(
        {query: {"right": 1.0, "wrong": 2.0} for query in list(QUERIES)[:-2]} | {"other": {"right": 1.0}}, "bm25"
    )
    measures = ["mrr@10", "recall@1"]
    systems = {
        "bm25": SystemResult(bad, measure(bad, JUDGEMENTS, measures), {}, {"search": 0.5}),
        "dense": SystemResult(
            good,
            measure(good, JUDGEMENTS, measures),
            {"lexical_weight": 0.3, "normalisation": "minmax", "tuned_on": "validation"},
        ),
    }
    significance = compare({name: system.scores for name, system in systems.items()})
    return Results("small", "test", QUERIES, 2, 2, True, "f00d", systems, significance, remarks=REMARKS)


def test_metrics_json_has_the_form_that_everything_reads(results, tmp_path):
    returned = write_results(results, tmp_path, {"steps": 7})
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == returned
    assert {key: written[key] for key in ("dataset", "split", "queries", "documents", "training")} == {
        "dataset": "small",
        "split": "test",
        "queries": 30,
        "documents": 2,
        "training": {"steps": 7},
    }
    assert written["systems"]["dense"] == {"mrr@10": 1.0, "recall@1": 1.0}
    assert written["systems"]["bm25"]["mrr@10"] == pytest.approx(0.5 * 28 / 30)
    assert (written["relevant_from"], written["remove_self_hits"], written["fingerprint"]) == (2, True, "f00d")
    assert written["details"]["bm25"] == {"queries_without_results": 2, "unjudged_queries": 1}


def test_metrics_json_is_the_same_however_long_things_took(results, tmp_path):
    write_results(results, tmp_path / "one")
    results.systems["bm25"].seconds["search"] = 99.0
    write_results(results, tmp_path / "two")
    assert (tmp_path / "one" / "metrics.json").read_bytes() == (tmp_path / "two" / "metrics.json").read_bytes()
    assert json.loads((tmp_path / "two" / "timings.json").read_text())["bm25"] == {"search": 99.0}


def test_runs_are_written_and_read_back_as_they_were(results, tmp_path):
    write_results(results, tmp_path)
    run = read_trec(tmp_path / "runs" / "test.dense.trec")
    assert [run.ranking(query) for query in QUERIES] == [["right", "wrong"]] * 30
    write_results(results, tmp_path / "without", with_runs=False)
    assert not (tmp_path / "without" / "runs").exists()


def test_csv_files_hold_every_system_and_every_query(results, tmp_path):
    write_results(results, tmp_path)
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["mrr@10"]) for row in rows] == [("bm25", "0.466667"), ("dense", "1.000000")]
    with open(tmp_path / "per_query.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert rows[29] == {
        "query_id": "q29",
        "query": "question 29",
        "system": "bm25",
        "mrr@10": "0.000000",
        "recall@1": "0.000000",
    }


def test_the_plot_is_of_the_two_systems_asked_for(results, tmp_path):
    write_results(results, tmp_path, plotted=("bm25", "dense"))
    drawing = (tmp_path / "plots" / "per_query.svg").read_text()
    assert "From bm25 to dense: mrr@10 0.467 → 1.000" in drawing
    assert "question 29" in drawing


def printed(folder) -> str:
    text = StringIO()
    print_folder(folder, Console(width=120, file=text))
    return text.getvalue()


def test_a_finished_folder_prints_its_table_again_from_its_files(results, tmp_path):
    write_results(results, tmp_path)
    table = printed(tmp_path)
    assert "1.0000ᵃ" in table
    assert (
        "30 queries, 2 documents; relevant from grade 2.\nQueries of test that are queries of train too: 2.\n" in table
    )
    assert "Fisher's paired randomisation test between every two systems, p ≤ 0.05" in table
    assert "dense: lexical weight 0.3, minmax scores, tuned on validation." in table
    assert "bm25: queries without results, which count 0: 2." in table
    assert "bm25: queries that nobody judged, left out: 1." in table


def test_an_older_folder_says_that_self_hits_were_removed(results):
    metrics = results.metrics({})
    del metrics["remarks"]
    assert "A document with the query's own id is removed." in caption(metrics)


def test_a_table_says_which_contents_of_a_name_were_scored_and_what_is_to_be_said_of_them(results, tmp_path):
    named = replace(results, fingerprint="1a2b3c4d5e6f", remarks=["Two of its files are older."])
    assert write_results(named, tmp_path)["remarks"] == ["Two of its files are older."]
    table = printed(tmp_path)
    assert "small (1a2b3c4d), test" in table and "Two of its files are older." in table
    other = replace(results, fingerprint="99999999").metrics({})
    assert results_table(other).title == "small (99999999), test"
    del other["fingerprint"]  # of an older folder
    assert results_table(other).title == "small, test"


@pytest.mark.parametrize(
    ("scored", "words"),
    [
        (212_345, "hybrid: scored 212,345 of 2,854,000 candidates (7.4%), the others could not enter the top 10."),
        (2_854_000, "hybrid: scored all 2,854,000 candidates, each of which could enter the top 10."),
    ],
)
def test_a_caption_says_how_many_candidates_a_hybrid_scored(results, scored, words):
    metrics = results.metrics({})
    metrics["details"]["hybrid"] = {"depth": 10, "dense_scored": scored, "candidates": 2_854_000}
    assert words in caption(metrics)


def test_the_best_of_a_column_is_bold(results, tmp_path):
    table = results_table(write_results(results, tmp_path))
    cells = list(table.columns[2].cells)
    assert [str(cell.style) for cell in cells] == ["", "bold"]


def test_an_unfinished_folder_and_a_foreign_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.json does not exist"):
        print_folder(tmp_path)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(UserError, match="is not the result of an evaluation"):
        print_folder(tmp_path)


def test_more_systems_than_letters_are_refused():
    require_letters(len(LETTERS))
    with pytest.raises(UserError, match="26 systems are more than the 25"):
        require_letters(26)
