"""Tables go to W&B with one type a column, whatever is empty or odd in it; figures go with what they rest on."""

import csv

from pipeline.evaluation.loggers import _table, csv_logger, log_results


def test_a_table_with_empty_and_odd_cells_has_one_type_a_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("layer,cka,place\n1,0.5,3\n2,,all\n", encoding="utf-8")
    table = _table(path)
    assert table.columns == ["layer", "cka", "place"]
    assert table.data == [[1.0, 0.5, "3"], [2.0, None, "all"]]


def test_figures_of_an_approximate_index_are_logged_with_its_recall(tmp_path):
    metrics = {
        "systems": {"bm25": {"mrr@10": 0.5}, "dense": {"mrr@10": 0.25}},
        "details": {"bm25": {}, "dense": {"approximate": {"recall": {"10": 0.75, "1000": 0.125}}}},
        "training": {"steps": 3},
    }
    log_results(csv_logger(tmp_path, "run", {}, None), metrics, tmp_path)
    with open(tmp_path / "curves" / "metrics.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert {name: float(value) for name, value in row.items() if "recall" in name} == {
        "dense/recall@10 of exact search": 0.75,
        "dense/recall@1000 of exact search": 0.125,
    }
