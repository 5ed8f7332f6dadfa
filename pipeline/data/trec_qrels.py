"""Judgements in TREC's layout: `query 0 document grade`."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.data.lines import read_lines
from pipeline.errors import UserError


def read_qrels(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Read a file of judgements.

    Yields:
        The place, for errors; query id; document id; grade as it is written.

    Raises:
        UserError: When a line has not four columns.
    """
    for number, line in read_lines(path):
        columns = line.split()
        if len(columns) != 4:
            raise UserError(
                f"{path}, line {number}: four columns (query, 0, document, grade) were expected and {len(columns)} "
                "found; mend the line."
            )
        yield f"{path}, line {number}", columns[0], columns[2], columns[3]
