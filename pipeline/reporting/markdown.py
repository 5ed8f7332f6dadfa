"""The report as Markdown: the same words and tables, without drawings."""

import html
from collections.abc import Sequence

from pipeline.reporting.html import is_numeric
from pipeline.reporting.section import Section, Table


def render_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Write findings, then every section's tables and notes."""
    found = [f"- {_escaped(finding)}" for section in sections for finding in section.findings]
    parts = [f"# {_escaped(title)}", _escaped(subtitle), "## Findings"]
    parts.append("\n".join(found) or "Nothing here allows a finding; the tables say what there is.")
    for section in sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [_table(table) for table in section.tables]
        if section.notes:
            parts.append("\n".join(f"- {_escaped(note)}" for note in section.notes))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    columns = table.columns
    rules = ["--:" if is_numeric(table, column) else ":--" for column in columns]
    rows = [[table.shown(column, row.get(column)) for column in columns] for row in table.rows]
    lines = [_line([table.label(column) or "row" for column in columns]), f"|{'|'.join(rules)}|", *map(_line, rows)]
    below = [f"{_escaped(table.note)} " if table.note else ""]
    below.append(f"([CSV](tables/{table.name}.csv), [LaTeX](tables/{table.name}.tex))")
    return f"**{_escaped(table.title)}**\n\n" + "\n".join(lines) + f"\n\n{''.join(below)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(words: str) -> str:
    """Keep texts from being read as HTML, as a table's rule or as emphasis."""
    flat = " ".join(words.split())
    return "".join(f"\\{letter}" if letter in "\\|*_`~#" else letter for letter in html.escape(flat, quote=False))
