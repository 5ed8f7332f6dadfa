"""A table as LaTeX, for a paper: booktabs, figures on the right, nothing that LaTeX would take for a command."""

from collections.abc import Sequence

from pipeline.evaluation.statistics import Interval
from pipeline.reporting.html import is_numeric
from pipeline.reporting.section import Table, Value

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "→": r"$\to$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "–": "--",
    "…": r"\ldots{}",
}
HEAD = (
    "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}; texts in other scripts need XeLaTeX or LuaLaTeX.\n"
)


def latex_table(table: Table) -> str:
    """Write a table environment with caption and label."""
    columns = table.columns
    kinds = "".join("r" if is_numeric(table, column) else "l" for column in columns)
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escaped(table.title)}. {escaped(table.note)}}}".replace(". }", ".}"),
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _line([escaped(table.label(column)) for column in columns]),
        r"\midrule",
        *(_line([_cell(table, column, row.get(column)) for column in columns]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return HEAD + "\n".join(lines) + "\n"


def escaped(words: str) -> str:
    """Write words so that LaTeX prints them as they are."""
    return "".join(ESCAPES.get(letter, letter) for letter in " ".join(words.split()))


def _line(cells: Sequence[str]) -> str:
    """Write a row; what stands first would otherwise be read as an argument of the rule or line break before it."""
    line = " & ".join(cells) + r" \\"
    return f"{{{line[0]}}}{line[1:]}" if line[0] in "[*" else line


def _cell(table: Table, column: str, value: Value) -> str:
    words = table.shown(column, value)
    if not isinstance(value, Interval):
        return escaped(words)
    mean, bracket, ends = words.partition(" [")
    return mean + (rf" {{\scriptsize [{ends}}}" if bracket else "")
