"""What a probe leaves: figures as CSV, pictures, and findings in words."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.evaluation.drawing import picture
from pipeline.files import atomic_write, write_csv

Row = Mapping[str, Any]
FINDINGS = "findings.md"
LETTERS_AN_INCH = 12
"""Of a picture's title."""


@dataclass(frozen=True)
class Picture:
    """A picture to be drawn.

    Attributes:
        draw: Draws on a figure.
        size: Width and height in inches.
    """

    draw: Callable[[Figure], None]
    size: tuple[float, float] = (9.0, 4.5)


@dataclass(frozen=True)
class Outcome:
    """What a probe found.

    Attributes:
        summary: The rows that a person wants to see first; printed, and written as `summary.csv`.
        tables: All other figures, by the name of their CSV file.
        findings: Sentences, each a finding with its interval or its test; or a warning of what was not found out.
        pictures: By file name.
    """

    summary: Sequence[Row]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    findings: Sequence[str] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    def write(self, folder: Path, title: str) -> None:
        """Write everything; `findings.md` last, so that a folder which has it is whole.

        Args:
            folder: Where to; made when missing.
            title: The first line of `findings.md` and of every picture.
        """
        for name, rows in {"summary": self.summary, **self.tables}.items():
            columns = columns_of(rows)
            write_csv(folder / f"{name}.csv", columns, ([row.get(column) for column in columns] for row in rows))
        for name, drawn in self.pictures.items():
            with picture(folder / "plots" / name, drawn.size, "constrained") as figure:
                drawn.draw(figure)
                _head(figure, title, drawn.size[0])
        with atomic_write(folder / FINDINGS) as file:
            file.write(f"# {title}\n\n" + "".join(f"- {finding}\n" for finding in self.findings))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Give the columns of all rows in the order in which they first come."""
    return list(dict.fromkeys(column for row in rows for column in row))


def read_findings(folder: Path) -> tuple[str, list[str]]:
    """Read the title and the findings of a finished folder."""
    title, *lines = (folder / FINDINGS).read_text(encoding="utf-8").splitlines()
    return title.removeprefix("# "), [line.removeprefix("- ") for line in lines if line]


def summary_table(folder: Path, title: str) -> Table:
    """Lay a finished folder's summary out for the terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_shown, row))
    return table


def _shown(value: str) -> str:
    """Round numbers that are not whole."""
    try:
        number = float(value)
    except ValueError:
        return value
    return value if value.lstrip("-").isdigit() else f"{number:.4f}"


def _head(figure: Figure, title: str, width: float) -> None:
    """Put a title above whatever a picture says at its top already."""
    lines = [*wrap(title, int(width * LETTERS_AN_INCH)), figure.get_suptitle()]
    figure.suptitle("\n".join(filter(None, lines)), fontsize=10)
