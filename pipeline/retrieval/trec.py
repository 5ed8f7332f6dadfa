"""Runs as files: TREC's format, and other columns by their names."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.data.lines import BadLines, columns_of, read_lines
from pipeline.errors import UserError
from pipeline.files import atomic_write
from pipeline.retrieval.run import Ranking, Run

RUN_COLUMNS = ("query", "Q0", "document", "rank", "score", "tag")
NAMES = {*RUN_COLUMNS} - {"Q0", "tag"}
"""What `run_columns` may call a column that is read."""
OTHER_FORMATS = {
    3: "[query,document,rank] (MS MARCO's) or [query,document,score]",
    4: "[query,document,rank,score] (ColBERT's) or [query,document,score,_]",
}
"""What a run of so few columns could be."""
NO_RANK = -1
LONGEST_RANK = 18
"""In digits: what fits into 64 bits, whatever they are."""
OVERFLOWING_SCORE = 2.0**128 - 2.0**103
"""What rounds to infinity in float32, in which runs hold their scores (see `Ranking.of`)."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""What every tool reads as one number: Python's own reading takes `1_000`, and digits of other scripts, too."""

Line = tuple[str, str, int, float]
"""Query, document, rank and score."""


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


def require_columns(columns: Sequence[str] | None) -> None:
    """Refuse names of columns that do not make a run.

    Raises:
        UserError: When one is unknown or there twice, or query, document, or both rank and score are missing.
    """
    if columns is None:
        return
    named = [name for name in columns if name != "_"]
    known = set(named) <= NAMES and len(set(named)) == len(named)
    if not known or not {"query", "document"} <= set(named) or not {"rank", "score"} & set(named):
        raise UserError(
            f"run_columns=[{','.join(map(str, columns))}] must name query, document, and score or rank, each once, and "
            "what is not read _, as in [query,document,rank,_]."
        )


def read_trec(path: Path, name: str | None = None, columns: Sequence[str] | None = None) -> Run:
    """Read a run file. Scores decide the order, as in trec_eval; a column of ranks beside them is not believed.

    Args:
        path: The file.
        name: What to call the run; the file's name without its ending when None.
        columns: What the columns are in a file that has so many (see `require_columns`); where none is the score, ranks
            decide. Other files, and all when None, are in TREC's format.

    Returns:
        The run, with the counts of queries whose results all have one score (`tied_queries`), of others whose column of
        ranks has another order (`ranks_not_followed`), of those that are among their own results (`self_hits`), and of
        lines that are not quite TREC's (see `_of_trec`) or read by `columns` (`lines_by_columns`).

    Raises:
        UserError: When the file is missing, empty, JSON or not UTF-8, or lines lack a column, hold a score that is not
            a finite number, or a document for the second time, or, where ranks decide, one for the second time; the
            sentence names file and line.
    """
    found: dict[str, dict[str, float]] = {}
    ranks: dict[str, array] = {}
    counts: Counter[str] = Counter()
    bad, read = BadLines(), None
    for number, line in read_lines(path):
        read = read or _reader(line, path, columns, counts)
        try:
            query, document, rank, score = read(line)
            results = found.setdefault(query, {})
            if document in results:
                raise UserError(f"document {document} occurs a second time for query {query}; keep one of them.")
        except UserError as error:
            bad.add(f"{path}, line {number}: {error}")
            continue
        results[document] = score
        ranks.setdefault(query, array("q")).append(rank)
    bad.refuse()
    if not found:
        raise UserError(f"{path} holds no result; give a run file with lines of {' '.join(RUN_COLUMNS)}.")
    by_rank = counts["lines_by_columns"] and "score" not in (columns or ())
    if twice := [query for query, of in ranks.items() if by_rank and len(set(of)) < len(of)]:
        raise UserError(f"{path}: a rank of query {twice[0]} is there twice, and ranks alone give the order; keep one.")
    return _run(name or Path(path).stem, found, ranks, counts)


def _run(name: str, found: dict[str, dict[str, float]], ranks: dict[str, array], counts: Counter[str]) -> Run:
    """Rank what was read, and count what contradicts itself."""
    rankings = {
        query: Ranking.of(list(results), np.array(list(results.values()), dtype=np.float64))
        for query, results in found.items()
    }
    tied = {query for query, ranking in rankings.items() if _all_tied(ranking.scores)}
    counts["tied_queries"] = len(tied)
    counts["ranks_not_followed"] = sum(
        _differ(rankings[query], found[query], ranks[query]) for query in found.keys() - tied
    )
    counts["self_hits"] = sum(query in results for query, results in found.items())
    return Run(name, rankings, {what: count for what, count in counts.items() if count})


def _reader(first: str, path: Path, columns: Sequence[str] | None, counts: Counter[str]) -> Callable[[str], Line]:
    """Choose what reads the lines of a file by its first.

    Raises:
        UserError: When it is JSON, or its columns could be several things.
    """
    if first.strip() == "{" or (first.startswith('{"') and first.endswith("}")):
        raise UserError(
            f"{path} is JSON, and a run has lines of {' '.join(RUN_COLUMNS)}; ranx.Run.from_file(FILE).save('run.trec') "
            "writes them."
        )
    width = len(columns_of(first))
    if columns is not None and width == len(columns):
        return partial(_named, names=columns, counts=counts)
    if width in OTHER_FORMATS:
        raise UserError(
            f"{path}: {width} columns, which could be {OTHER_FORMATS[width]}; say which with run_columns=[…], or write "
            f"TREC's {len(RUN_COLUMNS)} ({' '.join(RUN_COLUMNS)})."
        )
    return partial(_of_trec, counts=counts)


def _of_trec(line: str, counts: Counter[str]) -> Line:
    """Read a line of TREC's format.

    As trec_eval does, whatever comes after the score is no matter; what it refuses for want of a tag is read and counted
    (`lines_without_tag`), as are lines of more columns (`lines_with_more_columns`).

    Raises:
        UserError: When the line is another; it names neither file nor line.
    """
    columns = columns_of(line)
    if len(columns) == len(RUN_COLUMNS) - 1 and columns[1].upper() in ("Q0", "0"):
        counts["lines_without_tag"] += 1
    elif len(columns) > len(RUN_COLUMNS) and _rank(columns[3]) != NO_RANK:
        counts["lines_with_more_columns"] += 1
    elif len(columns) != len(RUN_COLUMNS):
        raise UserError(
            f"{len(columns_of(line))} columns where a run has {len(RUN_COLUMNS)} ({' '.join(RUN_COLUMNS)}); mend the line."
        )
    query, _, document, rank, score = columns[:5]
    return query, document, _rank(rank), _score(score)


def _named(line: str, names: Sequence[str], counts: Counter[str]) -> Line:
    """Read a line by the names of its columns; where none is the score, the first rank is the best.

    Raises:
        UserError: When the line is another; it names neither file nor line.
    """
    columns = columns_of(line)
    if len(columns) != len(names):
        raise UserError(f"{len(columns)} columns where run_columns names {len(names)}; mend the line.")
    found = dict(zip(names, columns, strict=True))
    rank = _rank(found["rank"]) if "rank" in found else NO_RANK
    if "score" not in found and rank == NO_RANK:
        raise UserError(f"the rank {found['rank']!r} is not a whole number; mend the line.")
    counts["lines_by_columns"] += 1
    return found["query"], found["document"], rank, _score(found["score"]) if "score" in found else -float(rank)


def _rank(written: str) -> int:
    """Read a rank; one that is no number, or that no list is long enough for, is none."""
    return int(written) if written.isascii() and written.isdecimal() and len(written) <= LONGEST_RANK else NO_RANK


def _all_tied(scores: np.ndarray) -> bool:
    """Tell whether all of several results, best first, have one score in float32, as trec_eval holds it."""
    return len(scores) > 1 and bool(scores[0] == scores[-1])


def _differ(ranking: Ranking, documents: Iterable[str], ranks: array) -> bool:
    """Tell whether a column of ranks has another order than a ranking; what is no number, or all the same, has none."""
    rank_of = dict(zip(documents, ranks, strict=True))
    in_order = [rank_of[document] for document in ranking.documents]
    return NO_RANK not in in_order and in_order != sorted(in_order)


def _score(written: str) -> float:
    try:
        score = float(written)
        finite = abs(score) < OVERFLOWING_SCORE
    except ValueError:
        finite = True
    if not finite:
        raise UserError(f"the score {written} is not finite; find out why the system gave it.")
    if not NUMBER.fullmatch(written):
        raise UserError(f"the score {written!r} is not a number; mend the line.")
    return score
