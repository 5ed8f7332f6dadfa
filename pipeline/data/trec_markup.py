"""TREC's documents and topics: markup that is seldom well-formed XML, so it is searched, not parsed."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.lines import read_lines
from pipeline.errors import UserError

TITLE_TAGS = ("title", "headline", "hl", "ti")
TOPIC_LABEL = re.compile(r"^\s*(number|topic|title|description|narrative)\s*:\s*", re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
NUMBER_ATTRIBUTE = re.compile(r"<top(?:ic)?\b[^>]*\b(?:number|num|id)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)


def read_blocks(path: Path, tag: str, encoding: str = "utf-8") -> Iterator[tuple[str, str]]:
    """Read what stands between an opening and a closing tag, one block at a time.

    Args:
        path: The file.
        tag: A pattern for the tag's name, such as `doc`.
        encoding: Of the file.

    Yields:
        The place of the block, for errors, and the block with its tags.

    Raises:
        UserError: When a block is not closed.
    """
    opening = re.compile(rf"<(?:{tag})\b[^>]*>", re.IGNORECASE)
    closing = re.compile(rf"</(?:{tag})\s*>", re.IGNORECASE)
    block: list[str] = []
    where = ""
    cure = "name the file's own encoding as dataset.encoding, such as dataset.encoding=latin-1"
    for number, line in read_lines(path, encoding, cure):
        rest = line
        while rest:
            if not block:
                start = opening.search(rest)
                if not start:
                    break
                where, rest = f"{path}, line {number}", rest[start.start() :]
            end = closing.search(rest)
            if not end:
                block.append(rest)
                break
            yield where, "\n".join([*block, rest[: end.end()]])
            block, rest = [], rest[end.end() :]
    if block:
        raise UserError(f"{where}: this block is not closed before the file ends; get the file again.")


def elements(block: str, name: str) -> list[str]:
    """Give the contents of every element of a name, other tags taken out and entities resolved."""
    found = re.findall(rf"<{name}\b[^>]*>(.*?)</{name}\s*>", block, re.IGNORECASE | re.DOTALL)
    return [plain(content) for content in found]


def plain(content: str) -> str:
    """Take tags out of a text, resolve its entities and trim it."""
    return html.unescape(TAG.sub(" ", content)).strip()


def document_of(block: str, where: str) -> tuple[str, str, str]:
    """Read a document: its id, its title and its text.

    The text is that of all `<text>` elements, or, without one, everything but the id and the title.

    Raises:
        UserError: When there is no `<docno>`.
    """
    ids = elements(block, "docno")
    if not ids:
        raise UserError(f"{where}: this document has no <docno>; the file is in another layout.")
    titles = next((found for tag in TITLE_TAGS if (found := elements(block, tag))), [""])
    texts = elements(block, "text")
    if not texts:
        known = "|".join(("docno", *TITLE_TAGS))
        texts = [plain(re.sub(rf"<({known})\b[^>]*>.*?</\1\s*>", " ", block, flags=re.IGNORECASE | re.DOTALL))]
    return ids[0], " ".join(" ".join(titles).split()), "\n".join(texts)


def topic_of(block: str, names: list[str], where: str) -> tuple[str, str]:
    """Read a topic: its number, and its fields joined into a query.

    TREC's topics open a field with `<title>` and often close it with nothing but the next field.

    Args:
        block: The topic.
        names: Which fields make the query, in order: `title`, `desc`, `narr`, …
        where: The place, for errors.

    Raises:
        UserError: When the number or a field is missing; the sentence names the fields found.
    """
    pieces = re.split(r"<(\w+)\b[^>]*>", re.sub(r"</\w+\s*>", "", block))
    found = {
        name.lower(): " ".join(TOPIC_LABEL.sub("", html.unescape(content)).split())
        for name, content in zip(pieces[1::2], pieces[2::2], strict=True)
        if name.lower() not in ("top", "topic")
    }
    attribute = NUMBER_ATTRIBUTE.search(block)
    number = found.get("num") or (attribute[1] if attribute else "")
    if not number:
        raise UserError(f"{where}: this topic has no <num>; the file is in another layout.")
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"{where}: the topic has no <{missing[0]}> (dataset.topic_fields); found are {', '.join(found)}."
        )
    return number, " ".join(found[name] for name in names).strip()
