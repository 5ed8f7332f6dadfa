"""Words of a command line, written so that Hydra's grammar and a shell take them as they are meant."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

TEXT = {
    *("folder", "tables", "models", "run_files", "sweep", "compare", "qrels", "baseline", "split", "model", "groups"),
    *("name", "path", "revision", "subset", "data_files", "query_prompt", "document_prompt", "title_separator"),
    *("train_path", "validation_path", "test_path", "train_queries", "train_qrels", "test_queries", "test_qrels"),
    *("query_id", "document_id", "project", "entity", "group", "tags"),
}
"""Last parts of settings whose values are text: names, paths, fields, revisions, prompts."""
TEXT_OF_A_DATASET = {
    *("passages", "collection", "triples", "documents", "topics", "train", "validation", "test", "text"),
    *("query", "document", "negative", "title"),
}
"""Last parts of a dataset's settings that are text, and elsewhere may be numbers."""
SAFE = re.compile(r"[\w./\\+$%*@?|:\- ]", re.ASCII)
"""Characters that Hydra's grammar takes in a value without quotes."""
PIECES = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\\.|[^\[\],{}()'"\\]+|.""", re.DOTALL)
"""What a value is made of: quoted text, escaped characters, marks of structure, and what lies between."""
UNREAD = object()


def command(program: str, *words: str) -> str:
    """Write a command that can be pasted into a shell."""
    return shlex.join(["python", program, *words])


def word(key: str, value: Any) -> str:
    """Write a setting as an override."""
    return f"{key}={_written(value)}"


def as_typed(override: str) -> str:
    """Put values of text in quotes where Hydra would read a number, a truth or nothing: the revision `12e4567` is text.

    Args:
        override: A word of the command line; `null` alone stays what it is.
    """
    key, _, value = override.partition("=")
    return f"{key}={''.join(_with_text(value))}" if value and _is_of_text(key) else override


def _with_text(value: str) -> Iterator[str]:
    """Give a value with each of its parts, in lists and between commas, as text; what is in quotes or braces stays."""
    depth, part = 0, ""
    for piece in PIECES.findall(value):
        depth += (piece in "({") - (piece in ")}")
        if depth == 0 and piece in ("[", ",", "]"):
            yield _as_text(part)
            yield piece
            part = ""
        else:
            part += piece
    yield _as_text(part)


def _is_of_text(key: str) -> bool:
    """Whether the values of a setting are text."""
    *above, last = key.lstrip("+").split(".")
    of_a_dataset = above[-1:] == ["dataset"] or above[-2:-1] == ["transfer"]
    return last in TEXT or (of_a_dataset and last in TEXT_OF_A_DATASET)


def grammar_sentence(override: str) -> str:
    """Say how to write a word of the command line that Hydra's grammar refuses."""
    key, equals, value = override.partition("=")
    if not equals:
        return (
            f"{override} is not KEY=VALUE; a value with spaces, brackets or braces stands in the shell's quotes as a whole: "
            "'models={base: minilm, tuned: FOLDER}'."
        )
    if not key:
        return f"{override} has no key before =; write KEY=VALUE."
    if _read("x", key) is UNREAD:
        return f"{override}: {key} is no key, which has letters, digits, _ and dots in it; --help lists all."
    several = value[:1] + value[-1:] in ("[]", "{}")
    odd = dict.fromkeys(letter for letter in value if not SAFE.match(letter) and not (several and letter in "[{,}]"))
    return f"{override} cannot be read ({' '.join(odd)} without quotes); write {_mended(key, value)}."


def comma_sentence(override: str) -> str:
    """Say how to write a value with commas in it where no sweep was asked for."""
    key, _, value = override.partition("=")
    one, several = shlex.quote(f"{key}={_quoted(value)}"), shlex.quote(f"{key}=[{value}]")
    return (
        f"{override} has a comma in it; write {one} for one value, {several} for a list, or add -m for a run of each."
    )


def _mended(key: str, value: str) -> str:
    """Put in quotes what needs them, of lists and dictionaries each value, and the home folder in the place of `~`."""
    value = re.sub(r"(?<![^\[,: ])~(?=/|$)", str(Path.home()), value)
    parts = _quoted_parts(value)
    return shlex.quote(f"{key}={parts if _read(parts) is not UNREAD else _quoted(value)}")


def _quoted_parts(value: str) -> str:
    if value[:1] + value[-1:] == "[]":
        return f"[{','.join(map(_quoted_parts, _parts(value[1:-1])))}]"
    if value[:1] + value[-1:] == "{}":
        pairs = (part.partition(":") for part in _parts(value[1:-1]))
        return f"{{{', '.join(f'{name.strip()}: {_quoted_parts(of.strip())}' for name, _, of in pairs)}}}"
    return value if _read(value) is not UNREAD else _quoted(value)


def _parts(inner: str) -> list[str]:
    """Divide at commas, but not those in the name of a folder that is there."""
    pieces, parts = inner.split(","), []
    while pieces:
        ends = [end for end in range(len(pieces), 1, -1) if Path(",".join(pieces[:end]).strip()).exists()]
        end = ends[0] if ends else 1
        parts.append(",".join(pieces[:end]).strip())
        pieces = pieces[end:]
    return parts


def _written(value: Any) -> str:
    if isinstance(value, str):
        value = value.replace("${", "\\${")  # text that is no interpolation
        return value if _is_text(value) else _quoted(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(key)}: {_written(of)}' for key, of in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{','.join(map(_written, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _as_text(part: str) -> str:
    """Put a value in quotes that would be read as anything but text; what cannot be read at all is refused later."""
    bare = part.strip()
    if bare in ("", "null") or re.search(r"['\"({$\\]", bare) or isinstance(_read(bare), str) or _read(bare) is UNREAD:
        return part
    return part.replace(bare, _quoted(bare))


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _is_text(value: str) -> bool:
    """Whether Hydra's grammar reads a value as this very text."""
    return _read(value) == value


def _read(value: str, key: str = "x") -> Any:
    """Read a value as Hydra does."""
    try:
        return OverridesParser.create().parse_override(f"{key}={value}").value()
    except HydraException:
        return UNREAD
