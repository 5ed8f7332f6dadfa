import textwrap

import pytest

from pipeline.data.docstrings import pair_of, read_pairs

REST = "Details follow in a text that is long enough to be worth finding at all."

SOURCE = '''
# -*- coding: latin-1 -*-
"""Tools for the reading of old files.

{rest}
"""
import nowhere_at_all
raise SystemExit("this module must never be run")

class Reader:
    """Reads one old file after another.

    {rest} Caf\xe9.
    """

    def close(self):
        """Close."""

    @property
    def place(self):
        """The place that is read next. {rest}"""

    @place.setter
    def place(self, value):
        """Set the place that is read next. {rest}"""

if True:
    try:
        async def fetch():
            """Fetch a file from far away.

            Parameters
            ----------
            name : str
                The name of the file, without the folder that it lies in.
            """
            def inner():
                r"""Inner functions are documented \\d too. {rest}"""
    except ImportError:
        fetch = lambda: "no docstring here"
'''


def test_every_scope_is_read_and_nothing_run():
    pairs = list(read_pairs(SOURCE.replace("{rest}", REST).lstrip().encode("latin-1")))
    assert [pair.name for pair in pairs] == [
        "",
        "Reader",
        "Reader.place",
        "Reader.place#2",
        "fetch",
        "fetch.inner",
    ]
    assert pairs[0].query == "Tools for the reading of old files."
    assert pairs[1].document == f"{REST} Café."
    assert pairs[4].document.startswith("Parameters\n----------\nname : str\n    The name")
    assert pairs[5].query == r"Inner functions are documented \d too."


@pytest.mark.parametrize(
    ("docstring", "query"),
    [
        (f"Compute the mean, e.g. of numbers. {REST}", "Compute the mean, e.g. of numbers."),
        (f"Use Python 3.11 or a later one. {REST}", "Use Python 3.11 or a later one."),
        (f"First line of a sentence\n    that goes on. {REST}", "First line of a sentence that goes on."),
        (f"A title without any full stop\n\n{REST}", "A title without any full stop"),
        (f"Is this a real question? {REST}", "Is this a real question?"),
        (f'He said "stop that now." {REST}', 'He said "stop that now."'),
    ],
)
def test_first_sentences(docstring, query):
    pair = pair_of("name", docstring)
    assert (pair.query, pair.document) == (query, REST)


@pytest.mark.parametrize(
    "docstring",
    [
        "One sentence and nothing else that could be found.",
        f"Too short here. {REST}",
        "A sentence of enough words here. But the rest is short.",
        f"Return the next old file. {REST} In short: return the next old file",
        " ".join(["word"] * 61) + f"\n\n{REST}",
        "",
    ],
)
def test_what_makes_no_pair(docstring):
    assert pair_of("name", textwrap.dedent(docstring)) is None


def test_what_is_no_python_is_refused():
    with pytest.raises(SyntaxError):
        list(read_pairs(b"def broken(:\n"))
    with pytest.raises((SyntaxError, ValueError)):
        list(read_pairs(b"a = 1\0"))
