"""Judgements in columns: TREC's `query 0 document grade`, or BEIR's `query-id corpus-id score`, whose header may lack."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.lines import BadLines, columns_of, read_lines
from pipeline.errors import UserError

COLUMNS = {4: "query 0 document grade", 3: "query-id corpus-id score"}
PLACES = {4: (0, 2, 3), 3: (0, 1, 2)}
"""Where query, document and grade stand, by the number of columns."""
HEADERS = ("score", "relevance", "rel", "grade", "label")
"""What the last column is called where the first line names the columns."""
DOCUMENTS = ("corpus-id", "corpus_id", "corpusid", "doc-id", "doc_id", "docid", "docno", "document", "passage", "pid")
"""What a column of documents is called: judgements are read by their order, and a header that names another is refused."""
WHOLE_NUMBER = re.compile(r"[+-]?0*[0-9]{1,10}(\.0*)?")


def read_qrels(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Read a file of judgements; its first line tells the layout.

    Yields:
        The place, for errors; query id; document id; grade.

    Raises:
        UserError: When the file is JSON; and, after the last judgement, when lines have another number of columns, or a
            grade that is not a whole number.
    """
    bad = BadLines()
    count, separator = 0, None
    for number, line in read_lines(path):
        if not count:
            if line.startswith("{") and len(columns_of(line)) not in PLACES:
                raise UserError(
                    f"{path} is JSON, and judgements are lines of {COLUMNS[4]}; ranx.Qrels.save writes them."
                )
            count, separator = _layout(line)
            names = [name.strip('"').lower() for name in columns_of(line)]
            if names[-1] in HEADERS:
                if names[0] in DOCUMENTS:
                    raise UserError(f"{path} has the columns {', '.join(names)}; put the query before the document.")
                continue
        where = f"{path}, line {number}"
        try:
            judgement = where, *_judgement(line, count, separator, where)
        except UserError as error:
            bad.add(error)
        else:
            yield judgement
    bad.refuse()


def read_judgements(path: Path) -> tuple[dict[str, dict[str, int]], int]:
    """Read a file of judgements whole.

    Returns:
        Grade by document by query; and how many judgements came again with the same grade.

    Raises:
        UserError: As `read_qrels` does, and when the file holds no judgement, or another grade for a pair than before.
    """
    grades: dict[str, dict[str, int]] = {}
    given, bad = 0, BadLines()
    for where, query, document, grade in read_qrels(path):
        given += 1
        before = grades.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            bad.add(f"{where}: document {document} is judged {grade} for query {query}, and {before} before; keep one.")
    bad.refuse()
    if not grades:
        raise UserError(f"{path} holds no judgement; give a file with lines of {COLUMNS[4]}.")
    return grades, given - sum(map(len, grades.values()))


def _layout(line: str) -> tuple[int, str | None]:
    """Tell how many columns a file has and what parts them, by its first line: tabs alone let BEIR's ids hold spaces."""
    cells = line.split("\t")
    if len(cells) in PLACES and len(columns_of(cells[0])) == 1:
        return len(cells), "\t"
    return (3 if len(columns_of(line)) == 3 else 4), None


def _judgement(line: str, count: int, separator: str | None, where: str) -> tuple[str, str, int]:
    """Read query, document and grade of a line."""
    columns = line.split(separator) if separator else columns_of(line)
    if separator and count == 3 and '"' in line:
        columns = next(csv.reader([line], delimiter=separator))  # as BEIR reads its files
    columns = columns if len(columns) == count else columns_of(line)
    if len(columns) != count:
        wanted = f"{count} ({COLUMNS[count]})"
        raise UserError(f"{where}: {len(columns)} columns where judgements have {wanted}; mend the line.")
    query, document, grade = (columns[place].strip(" \r") for place in PLACES[count])
    return query, document, grade_of(grade, where)


def grade_of(written: object, where: str) -> int:
    """Read a grade: a whole number, which data frames write as `1.0`.

    Raises:
        UserError: When it is none, or does not fit into 32 bits.
    """
    try:
        grade = float(written)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        grade = float("nan")
    # Python's own reading takes `1_000`, and digits of other scripts, too.
    whole = WHOLE_NUMBER.fullmatch(written) if isinstance(written, str) else grade.is_integer()
    if not whole or abs(grade) >= 1 << 31:
        raise UserError(f"{where}: the grade {written!r} is not a whole number; mend the line.")
    return int(grade)
