"""Runs, their order, and their files."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.texts import Texts
from pipeline.data.trec_qrels import read_judgements
from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.run import Ranking, Run
from pipeline.retrieval.trec import read_trec, require_columns, write_trec

IDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=4)
RANKINGS = st.dictionaries(
    IDS, st.dictionaries(IDS, st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1
)


def rankings_of(scores):
    return {query: Ranking.of(list(found), np.array(list(found.values()))) for query, found in scores.items()}


@given(RANKINGS)
def test_order_is_trec_evals(scores):
    """Score descending; equal scores by the bytes of the id, descending, as trec_eval's strcmp has it."""
    for query, found in scores.items():
        ranking = rankings_of(scores)[query]
        expected = sorted(found, key=lambda document: (found[document], document.encode()), reverse=True)
        assert ranking.documents == expected
        assert ranking.scores.tolist() == [found[document] for document in expected]


@given(scores=RANKINGS)
def test_a_run_comes_back_from_its_file(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp("run") / "test.bm25.trec"
    run = Run("bm25", rankings_of(scores))
    write_trec(run, path)
    read = read_trec(path)
    assert read.name == "test.bm25"
    assert read.query_ids == run.query_ids
    for query, ranking in run:
        assert read.ranking(query) == ranking.documents
        np.testing.assert_array_equal(read.scores(query), ranking.scores)


def test_scores_that_only_a_c_double_tells_apart_are_equal():
    ranking = Ranking.of(["a", "b"], np.array([1.0 + 1e-12, 1.0]))
    assert ranking.documents == ["b", "a"]


def test_hits_become_a_run():
    documents = Texts.from_pairs([("d0", "x"), ("q1", "y"), ("d2", "z"), ("d3", "w")])
    hits = Hits(
        np.array([[2, 1, 0], [1, 0, -1], [-1, -1, -1]]),
        np.array([[3, 2, 1], [5, 5, -np.inf], [-np.inf] * 3], np.float32),
    )
    run = Run.from_hits("dense", ["q0", "q1", "q2"], documents, hits)
    assert {query: ranking.documents for query, ranking in run} == {
        "q0": ["d2", "q1", "d0"],
        "q1": ["q1", "d0"],
        "q2": [],
    }
    assert run.ranking("unknown") == []
    assert run.scores("unknown").shape == (0,)
    assert len(run) == 3
    without = Run.from_hits(
        "dense", ["q0", "q1", "q2"], documents, hits, unwanted=documents.positions(["q0", "q1", "q2"])[:, None], depth=2
    )
    assert [without.ranking(query) for query in without.query_ids] == [["d2", "q1"], ["d0"], []]
    assert without.scores("q1").tolist() == [5]


def test_a_run_file_is_what_trec_eval_reads(tmp_path):
    write_trec(Run("dense", rankings_of({"1": {"a": 0.1, "b": 2.5}})), tmp_path / "run.trec")
    assert (tmp_path / "run.trec").read_text() == "1 Q0 b 1 2.5 dense\n1 Q0 a 2 0.1 dense\n"


@pytest.mark.parametrize("query", ["q 1", "", "q\t1"])
def test_ids_that_would_break_the_columns_are_refused(tmp_path, query):
    with pytest.raises(UserError, match="holds white space"):
        write_trec(Run("dense", rankings_of({query: {"a": 1.0}})), tmp_path / "run.trec")
    assert list(tmp_path.iterdir()) == []


def test_scores_decide_and_not_ranks(shared_data):
    run = read_trec(shared_data / "trec_eval" / "results.test")
    assert len(run) == 3
    for _, ranking in run:
        assert (np.diff(ranking.scores) <= 0).all()
    written = (shared_data / "trec_eval" / "results.test").read_text().split("\n")
    by_rank = [line.split()[2] for line in written if line.startswith(run.query_ids[0])]
    assert run.ranking(run.query_ids[0]) != by_rank
    assert sorted(run.ranking(run.query_ids[0])) == sorted(by_rank)


GOOD = "1 Q0 a 1 0.5 tag\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no result"),
        (b"\n \n", "holds no result"),
        (GOOD.encode() + b"1 Q0 b 2\n", r"run\.trec, line 2: 4 columns where a run has 6"),
        (GOOD.encode() + b"1 b 2 0.5 tag\n", r"run\.trec, line 2: 5 columns where a run has 6"),
        (GOOD.encode() + b"1 Q0 my b 2 0.5 tag\n", r"run\.trec, line 2: 7 columns where a run has 6"),
        (GOOD.encode() + b"1 Q0 b 2 high tag\n", "line 2: the score 'high' is not a number"),
        (GOOD.encode() + b"1 Q0 b 2 1_0 tag\n", "line 2: the score '1_0' is not a number"),
        (GOOD.encode() + "1 Q0 b 2 \u0661\u0660 tag\n".encode(), "line 2: the score '\u0661\u0660' is not a number"),
        (GOOD.encode() + b"1 Q0 b 2 0x10 tag\n", "line 2: the score '0x10' is not a number"),
        (GOOD.encode() + b"1 Q0 b 2 nan tag\n", "line 2: the score nan is not finite"),
        (GOOD.encode() + b"1 Q0 b 2 -inf tag\n", "line 2: the score -inf is not finite"),
        (GOOD.encode() + b"1 Q0 b 2 1e39 tag\n", "line 2: the score 1e39 is not finite"),
        (GOOD.encode() * 2, "line 2: document a occurs a second time for query 1"),
        (
            GOOD.encode() + b"1 Q0 b 2 x t\n" * 4,
            "^4 lines cannot be used, such as: .*line 2: .* .*line 3: .* .*line 4: [^:]*$",
        ),
        (b'{"1": {"a": 0.5}}', r"run\.trec is JSON, .* ranx\.Run\.from_file"),
        (b'{\n  "1": {\n    "a": 0.5\n  }\n}', r"run\.trec is JSON"),
        (b"1\ta\t1\n", r"3 columns, which could be \[query,document,rank\] \(MS MARCO's\) or \[query,document,score\]"),
        (b"1 a 1 0.5\n", r"4 columns, which could be \[query,document,rank,score\]"),
        (GOOD.encode() + b"1 Q0 \xff 2 0.1 tag\n", "line 2: byte 6 of the line is not UTF-8"),
    ],
)
def test_bad_run_files_are_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "run.trec"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_trec(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\x85", "\x1c"])
def test_only_ascii_s_white_space_parts_columns(tmp_path, space):
    (tmp_path / "run").write_text(f"1 Q0 x{space}7 1 9.0 t\n1 Q0 b 2 8.0 t\n", encoding="utf-8")
    run = read_trec(tmp_path / "run")
    assert (run.ranking("1"), run.scores("1").tolist()) == ([f"x{space}7", "b"], [9.0, 8.0])


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_gzipped_files_are_read_as_plain_ones_whatever_their_names(tmp_path, ending, compress):
    (tmp_path / f"run{ending}").write_bytes(compress(b"\xef\xbb\xbf" + GOOD.encode()))
    (tmp_path / f"qrels{ending}").write_bytes(compress(b"\xef\xbb\xbf1 0 a 2\n"))
    assert read_trec(tmp_path / f"run{ending}").ranking("1") == ["a"]
    assert read_judgements(tmp_path / f"qrels{ending}") == ({"1": {"a": 2}}, 0)


def test_missing_files_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"none\.trec does not exist"):
        read_trec(tmp_path / "none.trec")
    with pytest.raises(UserError, match="is a folder where a file is expected"):
        read_judgements(tmp_path)


COLUMNS = {
    # From d0 to d2, the best first: by rank, by score, by both.
    "query,document,rank": "q d0 1\nq d1 2\nq d2 3\n",
    "query,document,score": "q\td0\t3\nq\td1\t2\nq\td2\t1\n",
    "query,document,rank,score": "q d0 1 3\nq d1 2 2\nq d2 3 1\n",
    "query,_,document,score,_": "q x d0 3e0 y\nq x d1 2 y\nq x d2 +.5 y\n",
}


@pytest.mark.parametrize("columns", COLUMNS)
def test_other_columns_are_read_by_their_names(tmp_path, columns):
    path = tmp_path / "run.tsv"
    path.write_text(COLUMNS[columns])
    run = read_trec(path, columns=columns.split(","))
    assert run.ranking("q") == ["d0", "d1", "d2"]
    assert run.counts == {"lines_by_columns": 3}
    path.write_text(GOOD)  # and other files as TREC's
    assert read_trec(path, columns=columns.split(",")).counts == {}


@pytest.mark.parametrize(
    "columns", [["query", "document"], ["query", "rank", "score"], ["query", "document", "tag", "score"], ["query"] * 3]
)
def test_columns_that_make_no_run_are_refused(columns):
    with pytest.raises(UserError, match="must name query, document, and score or rank, each once"):
        require_columns(columns)


def test_ranks_alone_must_be_whole_numbers(tmp_path):
    (tmp_path / "run.tsv").write_text("q d 1\nq e 0.5\n")
    with pytest.raises(UserError, match=r"run\.tsv, line 2: the rank '0\.5' is not a whole number"):
        read_trec(tmp_path / "run.tsv", columns=["query", "document", "rank"])


def test_ranks_alone_must_give_an_order(tmp_path):
    (tmp_path / "run.tsv").write_text("q d 1\nq e 1\n")
    with pytest.raises(UserError, match=r"run\.tsv: a rank of query q is there twice"):
        read_trec(tmp_path / "run.tsv", columns=["query", "document", "rank"])
    assert read_trec(tmp_path / "run.tsv", columns=["query", "document", "score"]).counts["tied_queries"] == 1


def test_what_follows_the_score_is_no_matter(tmp_path):
    """As in trec_eval, which ranx's own files need where a run's name has spaces."""
    (tmp_path / "run.trec").write_text("q Q0 b 2 1 my  run\r\n\nq\tQ0  a\t1 1e5\nq 0 c 3 0.5 tag\n")
    run = read_trec(tmp_path / "run.trec")
    assert run.ranking("q") == ["a", "b", "c"]
    assert run.counts == {"lines_without_tag": 1, "lines_with_more_columns": 1}


@pytest.mark.parametrize(
    ("rows", "order", "counts"),
    [
        # trec_eval orders by score, then id, both descending.
        ([("d0", 1, 9), ("d1", 2, 8), ("d2", 3, 8.5)], ["d0", "d2", "d1"], {"ranks_not_followed": 1}),
        ([(f"d{n}", n + 1, n) for n in range(3)], ["d2", "d1", "d0"], {"ranks_not_followed": 1}),
        ([(f"d{n}", n + 1, 1) for n in range(3)], ["d2", "d1", "d0"], {"tied_queries": 1}),
        ([("d0", 1, 2), ("d1", 2, 1), ("d2", 3, 1)], ["d0", "d2", "d1"], {"ranks_not_followed": 1}),
        ([("d2", 1, 1), ("d1", 2, 1)], ["d2", "d1"], {"tied_queries": 1}),
        ([("d2", 1, 1.00000002), ("d1", 2, 1.00000001)], ["d2", "d1"], {"tied_queries": 1}),
        ([("d0", 0, 9), ("d1", 0, 8)], ["d0", "d1"], {}),
        ([("d0", "9" * 20, 9), ("d1", "9" * 5000, 8)], ["d0", "d1"], {}),
        ([("d0", "Q0", 8), ("d1", "-", 9)], ["d1", "d0"], {}),
        ([("d1", 2, 8), ("d0", 1, 9)], ["d0", "d1"], {}),
        ([("d0", 1, 9), ("q", 2, 8)], ["d0", "q"], {"self_hits": 1}),
        ([("d0", 1, 9)], ["d0"], {}),
    ],
)
def test_a_file_that_contradicts_itself_is_read_as_trec_eval_reads_it_and_counted(tmp_path, rows, order, counts):
    path = tmp_path / "run.trec"
    path.write_text("".join(f"q Q0 {document} {rank} {score} tag\n" for document, rank, score in rows))
    run = read_trec(path)
    assert run.ranking("q") == order
    assert run.counts == counts
