"""What a probe leaves: figures as CSV, pictures, and findings in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.evaluation.drawing import picture
from pipeline.files import atomic_write, write_csv

Row = Mapping[str, Any]
FINDINGS = "findings.md"


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
            title: The first line of `findings.md`.
        """
        for name, rows in {"summary": self.summary, **self.tables}.items():
            columns = columns_of(rows)
            write_csv(folder / f"{name}.csv", columns, ([row.get(column) for column in columns] for row in rows))
        for name, drawn in self.pictures.items():
            with picture(folder / "plots" / name, drawn.size, "constrained") as figure:
                drawn.draw(figure)
        with atomic_write(folder / FINDINGS) as file:
            file.write(f"# {title}\n\n" + "".join(f"- {finding}\n" for finding in self.findings))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Give the columns of all rows in the order in which they first come."""
    return list(dict.fromkeys(column for row in rows for column in row))


def summary_table(outcome: Outcome, title: str) -> Table:
    """Lay the summary out for the terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    columns = columns_of(outcome.summary)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in outcome.summary:
        table.add_row(*(_shown(row.get(column)) for column in columns))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
