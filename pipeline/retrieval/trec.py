"""Runs and judgements as files: TREC's run and qrels formats, and BEIR's tab-separated judgements."""

import math
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pipeline.data.lines import read_lines
from pipeline.errors import UserError
from pipeline.files import atomic_write
from pipeline.retrieval.run import Ranking, Run

RUN_COLUMNS = ("query", "Q0", "document", "rank", "score", "tag")
QRELS_COLUMNS = ("query", "0", "document", "grade")
BEIR_COLUMNS = ("query-id", "corpus-id", "score")
NO_RANK = -1
LONGEST_RANK = 18
"""In digits: what fits into 64 bits, whatever they are."""
OVERFLOWING_SCORE = 2.0**128 - 2.0**103
"""What rounds to infinity in float32, in which runs hold their scores (see `Ranking.of`)."""


def write_trec(run: Run, path: Path) -> None:
    """Write a run as `query Q0 document rank score tag`, whole or not at all.

    Scores have as many digits as make them the same float32 when read again, so no order is lost.

    Raises:
        UserError: When an id or the name holds white space, which would split its column; or the disk is full.
    """
    tag = _one_word("the run", run.name, path)
    with atomic_write(path) as file:
        for query_id, ranking in run:
            query = _one_word("the query", query_id, path)
            for rank, (document, score) in enumerate(zip(ranking.documents, ranking.scores, strict=True), start=1):
                file.write(f"{query} Q0 {_one_word('the document', document, path)} {rank} {score!s} {tag}\n")


def _one_word(what: str, name: str, path: Path) -> str:
    if len(name.split()) != 1:
        raise UserError(f"{path}: the id of {what} {name!r} holds white space, which a TREC run cannot; change the id.")
    return name


def read_trec(path: Path, name: str | None = None) -> Run:
    """Read a run file. Scores decide the order, as in trec_eval; the column of ranks is not believed.

    Args:
        path: The file.
        name: What to call the run; the file's name without its ending when None.

    Returns:
        The run, with the counts of queries whose column of ranks has another order (`ranks_not_followed`), of those
        whose results all have one score (`tied_queries`), and of those that are among their own results (`self_hits`).

    Raises:
        UserError: When the file is missing, empty or not UTF-8, or a line lacks a column, holds a score that is not
            a finite number, or a document for the second time; the sentence names file and line.
    """
    found: dict[str, dict[str, float]] = {}
    ranks: dict[str, array] = {}
    for where, line in _lines(path):
        columns = line.split()
        if len(columns) != len(RUN_COLUMNS):
            raise UserError(
                f"{where}: {len(columns)} columns where a run has {len(RUN_COLUMNS)} ({' '.join(RUN_COLUMNS)})."
            )
        query, _, document, rank, score, _ = columns
        results = found.setdefault(query, {})
        if document in results:
            raise UserError(f"{where}: document {document} occurs a second time for query {query}; keep one of them.")
        results[document] = _score(score, where)
        ranks.setdefault(query, array("q")).append(_rank(rank))
    if not found:
        raise UserError(f"{path} holds no result; give a run file with lines of {' '.join(RUN_COLUMNS)}.")
    rankings = {
        query: Ranking.of(list(results), np.array(list(results.values()), dtype=np.float64))
        for query, results in found.items()
    }
    counts = {
        "ranks_not_followed": sum(_differ(rankings[query], results, ranks[query]) for query, results in found.items()),
        "tied_queries": sum(_all_tied(of.scores) for of in rankings.values()),
        "self_hits": sum(query in results for query, results in found.items()),
    }
    return Run(name or Path(path).stem, rankings, {what: count for what, count in counts.items() if count})


def _rank(written: str) -> int:
    """Read a rank; one that is no number, or that no list is long enough for, is none."""
    return int(written) if written.isdecimal() and len(written) <= LONGEST_RANK else NO_RANK


def _all_tied(scores: np.ndarray) -> bool:
    """Tell whether all of several results, best first, have one score in float32, as trec_eval holds it."""
    return len(scores) > 1 and bool(scores[0] == scores[-1])


def _differ(ranking: Ranking, documents: Iterable[str], ranks: array) -> bool:
    """Tell whether a column of ranks has another order than a ranking; what is no number, or all the same, has none."""
    rank_of = dict(zip(documents, ranks, strict=True))
    in_order = [rank_of[document] for document in ranking.documents]
    return NO_RANK not in in_order and in_order != sorted(in_order)


def _score(written: str, where: str) -> float:
    try:
        score = float(_plain(written))
    except ValueError:
        raise UserError(f"{where}: the score {written!r} is not a number; mend the line.") from None
    if not math.isfinite(score) or abs(score) >= OVERFLOWING_SCORE:
        raise UserError(f"{where}: the score {written} is not finite; find out why the system gave it.")
    return score


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read judgements: TREC's `query 0 document grade`, or BEIR's `query-id corpus-id score` under its header.

    Returns:
        Grade by document by query.

    Raises:
        UserError: When the file is missing, empty or not UTF-8, or a line has other columns, a grade that is not an
            integer, or a pair for the second time; the sentence names file and line.
    """
    grades: dict[str, dict[str, int]] = {}
    expected: tuple[str, ...] = QRELS_COLUMNS
    pick = (0, 2, 3)
    for number, (where, line) in enumerate(_lines(path)):
        columns = line.split("\t") if expected is BEIR_COLUMNS else line.split()
        if number == 0 and tuple(columns) == BEIR_COLUMNS:
            expected, pick = BEIR_COLUMNS, (0, 1, 2)
            continue
        if len(columns) != len(expected):
            raise UserError(
                f"{where}: {len(columns)} columns where judgements have {len(expected)} ({' '.join(expected)})."
            )
        query, document, grade = (columns[place] for place in pick)
        of_query = grades.setdefault(query, {})
        if document in of_query:
            raise UserError(f"{where}: document {document} is judged a second time for query {query}; keep one grade.")
        of_query[document] = _grade(grade, where)
    if not grades:
        raise UserError(f"{path} holds no judgement; give a file with lines of {' '.join(QRELS_COLUMNS)}.")
    return grades


def _grade(written: str, where: str) -> int:
    try:
        return int(_plain(written))
    except ValueError:
        raise UserError(f"{where}: the grade {written!r} is not a whole number; mend the line.") from None


def _plain(written: str) -> str:
    """Refuse underscores between digits, which Python reads as nothing and every other tool as the number's end.

    Raises:
        ValueError: When there is one.
    """
    if "_" in written:
        raise ValueError(written)
    return written


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read the lines of a text file, gzipped or plain, that are not blank, each with the words that name its place.

    Raises:
        UserError: When the file cannot be read or a line is not UTF-8.
    """
    for number, line in read_lines(path):
        yield f"{path}, line {number}", line
