"""Docstrings of a Python source file, read without running it, as pairs of a question and its answer."""

import ast
import inspect
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

QUERY_WORDS = (4, 60)
"""Shorter first sentences (`Return self.`) ask nothing that one document answers; longer ones are no sentences."""

DOCUMENT_WORDS = 10
"""What is left below this many words is a remnant such as a lone `See also`."""

SENTENCE_END = re.compile(r"""(?<!e\.g)(?<!i\.e)[.!?]["'`)]*(?=\s+[^a-z\s]|\s*$)""")
"""A full stop before a small letter is an abbreviation."""

PARAGRAPH_END = re.compile(r"\n\s*\n")
WORD = re.compile(r"[a-z0-9]+")

Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Pair:
    """The first sentence of a docstring, and the rest of it.

    Attributes:
        name: The qualified name of what is documented; empty for a module; with `#2` when it is defined again.
        query: One line.
        document: Indentation stripped, otherwise as written, parameters and examples included: people look for those.
    """

    name: str
    query: str
    document: str


def words(text: str) -> list[str]:
    """Split a text into its lower-case words, for comparisons."""
    return WORD.findall(text.lower())


def read_pairs(source: bytes) -> Iterator[Pair]:
    """Read the pairs of a source file.

    Args:
        source: The file's bytes; a coding line is respected.

    Raises:
        SyntaxError: When it is not Python of this version.
        ValueError: When it holds null bytes.
        RecursionError: When it is nested too deeply to parse.
    """
    with warnings.catch_warnings():
        # Other people's invalid escapes are not this program's concern.
        warnings.simplefilter("ignore")
        module = ast.parse(source)
    seen: Counter[str] = Counter()
    for name, scope in _scopes(module):
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}#{seen[name]}"
        docstring = ast.get_docstring(scope, clean=False)
        pair = docstring and pair_of(name, docstring)
        if pair:
            yield pair


def pair_of(name: str, docstring: str) -> Pair | None:
    """Divide a docstring, unless too little stands on either side or the query stands in the document."""
    cleaned = inspect.cleandoc(docstring)
    paragraph = PARAGRAPH_END.split(cleaned, maxsplit=1)[0]
    end = SENTENCE_END.search(paragraph)
    length = end.end() if end else len(paragraph)
    query, document = " ".join(cleaned[:length].split()), cleaned[length:].strip()
    asked, answered = words(query), words(document)
    if not QUERY_WORDS[0] <= len(asked) <= QUERY_WORDS[1] or len(answered) < DOCUMENT_WORDS:
        return None
    return None if f" {' '.join(asked)} " in f" {' '.join(answered)} " else Pair(name, query, document)


def _scopes(module: ast.Module) -> Iterator[tuple[str, Scope]]:
    """Walk through modules, classes and functions in the order of the file; expressions are not entered."""
    waiting: list[tuple[str, ast.AST]] = [("", module)]
    while waiting:
        prefix, node = waiting.pop()
        if isinstance(node, Scope):
            name = f"{prefix}.{node.name}".lstrip(".") if not isinstance(node, ast.Module) else prefix
            yield name, node
        else:
            name = prefix
        inside = [
            child
            for block in ("body", "handlers", "orelse", "finalbody", "cases")
            for child in getattr(node, block, ())
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        ]
        waiting += [(name, child) for child in reversed(inside)]
