"""Tables go to W&B with one type a column, whatever is empty or odd in it."""

from pipeline.evaluation.loggers import _table


def test_a_table_with_empty_and_odd_cells_has_one_type_a_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("layer,cka,place\n1,0.5,3\n2,,all\n", encoding="utf-8")
    table = _table(path)
    assert table.columns == ["layer", "cka", "place"]
    assert table.data == [[1.0, 0.5, "3"], [2.0, None, "all"]]
