"""Judgements in TREC's and in BEIR's columns."""

import math

import pytest

from pipeline.data.trec_qrels import grade_of, read_judgements
from pipeline.errors import UserError

HEADER = "query-id\tcorpus-id\tscore\n"
ROWS = "1\ta\t2\n1\tb\t-1\n2\ta\t0\n"
LAYOUTS = {
    "trec": "1 0 a 2\n1 0 b -1\n\n2\t0\ta\t0\r\n",
    "tabs": "1\t0\ta\t2\n1\t0\tb\t-1\n2 0 a\t0\n",
    "beir": HEADER + ROWS,
    "mark": "\ufeff" + HEADER + ROWS,
    "mark without header": "\ufeff" + ROWS,
    "without header": ROWS,
    "spaces": ROWS.replace("\t", " "),
    "data frame": "query_id\tdoc_id\trelevance\n" + ROWS.replace("\n", ".0\n"),
    "four columns under a header": "query-id\titeration\tcorpus-id\tscore\n1\t0\ta\t2\n1\t0\tb\t-1\n2\t0\ta\t0\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_judgements_are_read_in_every_layout(tmp_path, layout):
    (tmp_path / "qrels").write_text(LAYOUTS[layout])
    assert read_judgements(tmp_path / "qrels") == ({"1": {"a": 2, "b": -1}, "2": {"a": 0}}, 0)


def test_cells_in_quotes_are_what_is_between_them(tmp_path):
    (tmp_path / "qrels").write_text('"query-id"\t"corpus-id"\t"score"\n"1"\t"a"\t"1"\n2\t"say ""b"""\t1\n')
    assert read_judgements(tmp_path / "qrels") == ({"1": {"a": 1}, "2": {'say "b"': 1}}, 0)


def test_a_header_of_another_order_is_refused(tmp_path):
    (tmp_path / "qrels").write_text("corpus-id\tquery-id\tscore\n7\t1\t1\n")
    with pytest.raises(UserError, match="put the query before the document"):
        read_judgements(tmp_path / "qrels")


def test_a_document_may_hold_a_space_where_tabs_part_the_columns(tmp_path):
    (tmp_path / "qrels").write_text("1\tgone too\t1\n")
    assert read_judgements(tmp_path / "qrels") == ({"1": {"gone too": 1}}, 0)


def test_equal_judgements_are_counted(tmp_path):
    (tmp_path / "qrels").write_text("1 0 a 1\n1 0 b 1\n1 0 a 1.0\n1 0 a +1\n")
    assert read_judgements(tmp_path / "qrels") == ({"1": {"a": 1, "b": 1}}, 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "holds no judgement"),
        (HEADER, "holds no judgement"),
        ("1 0 a 1\n1 a 1\n", "line 2: 3 columns where judgements have 4"),
        ("1 a\n", r"line 1: 2 columns where judgements have 4 \(query 0 document grade\)"),
        (f"{HEADER}1\ta\n", "line 2: 2 columns where judgements have 3"),
        ("1 0 a high\n", "line 1: the grade 'high' is not a whole number"),
        ("1 0 a 1.5\n", "line 1: the grade '1.5' is not a whole number"),
        ("1 0 a 1_0\n", "line 1: the grade '1_0' is not a whole number"),
        ("1 0 a \u0661\n", "line 1: the grade '\u0661' is not a whole number"),
        ("1 0 a 2\n1 0 a 1\n", "line 2: document a is judged 1 for query 1, and 2 before; keep one"),
        ("1 0 a 1\n" + "1 0 b x\n" * 7, "^7 lines cannot be used, such as: .*line 2: .*line 3: .*line 4: [^:]*$"),
        ('{\n"1": {"a": 1}}', "is JSON, and judgements are lines of query 0 document grade"),
    ],
)
def test_bad_judgements_are_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "qrels"
    path.write_text(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_judgements(path)
    assert str(path) in str(caught.value)


def test_grades_are_whole_numbers_however_they_come():
    assert [grade_of(written, "") for written in ("2", "-1", "1.0", "1.", "+3", "007", 2, 1.0)] == [
        2,
        -1,
        1,
        1,
        3,
        7,
        2,
        1,
    ]
    for bad in ("1e0", "", "1_0", "\u0661", "0x1", "2147483648", "nan", 1.5, math.nan, math.inf, None, [1]):
        with pytest.raises(UserError, match=r"^a, line 3: the grade .* is not a whole number"):
            grade_of(bad, "a, line 3")
