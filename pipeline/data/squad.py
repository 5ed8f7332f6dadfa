"""SQuAD's JSON, versions 1.1 and 2, and whatever shares its layout, such as SQuADShifts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeline.data.lines import field, read_whole_json
from pipeline.data.lookup import id_of
from pipeline.data.normal_form import normal_form
from pipeline.data.shares import Paths, SplitFiles
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError


@dataclass(frozen=True)
class Paragraph:
    """A paragraph and the questions that were written about it.

    Attributes:
        title: Its article's.
        text: Of the paragraph.
        questions: Id and text of those that it answers.
        unanswerable: How many others there are.
        where: The place in the file, for errors.
    """

    title: str
    text: str
    questions: list[tuple[str, str]]
    unanswerable: int
    where: str

    @property
    def id(self) -> str:
        """The same wherever the text stands."""
        return id_of(str(self.text))


class Squad(Source):
    """Questions whose one relevant document is the paragraph that they were written about.

    Rajpurkar et al. (2016, https://arxiv.org/abs/1606.05250; 2018, https://arxiv.org/abs/1806.03822). Every split
    searches the paragraphs of all files. Unanswerable questions of version 2 are left out and counted, for no
    paragraph is relevant to them. The splits of `path` are made article by article.

    Args:
        path: One file or several, shared out by `split`.
        train_path: Training files; a share of their articles validates when there is no `validation_path`.
        validation_path: Validation files.
        test_path: Test files.
        split: Shares of the articles of `path`.
        validation_share: The share of training articles held out for validation.
        **settings: Those of every source.
    """

    def __init__(
        self,
        *,
        path: Paths = None,
        train_path: Paths = None,
        validation_path: Paths = None,
        test_path: Paths = None,
        split: Mapping[str, float] | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.files = SplitFiles(path, train_path, validation_path, test_path, split, validation_share)
        super().__init__(name=name or self.files.name(), **settings)

    def inputs(self) -> list[Path]:
        """Give the files."""
        return [path for path, _ in self.files]

    def write(self, writer: DatasetWriter) -> None:
        """Stream file by file; a text that several paragraphs hold is one document."""
        self.files.announce(writer)
        written: set[str] = set()
        split_of: dict[str, str] = {}
        for path, shares in self.files:
            for paragraph in read_paragraphs(path):
                document, where = paragraph.id, paragraph.where
                if document not in written:
                    written.add(document)
                    with writer.bad:
                        writer.document(document, paragraph.text, paragraph.title, where=where)
                writer.count("unanswerable_questions", paragraph.unanswerable)
                split = shares(paragraph.title)
                if split_of.setdefault(id_of(normal_form(str(paragraph.text))), split) != split:
                    writer.count("paragraphs_asked_about_in_two_splits")
                for id_, question in paragraph.questions:
                    with writer.bad:
                        writer.query(split, id_, question, where=where)
                        writer.judge(split, id_, document, 1, where=where)


def read_paragraphs(path: Path) -> Iterator[Paragraph]:
    """Read the paragraphs of a file in SQuAD's layout.

    Raises:
        UserError: When the file is not in that layout; the sentence names the place.
    """
    for number, article in enumerate(_list(read_whole_json(path), "data", f"{path}"), start=1):
        place = f"{path}, article {number}"
        title = unquote(str(article.get("title", ""))).replace("_", " ")
        for part, paragraph in enumerate(_list(article, "paragraphs", place), start=1):
            yield _paragraph(paragraph, title, f"{place}, paragraph {part}")


def _paragraph(record: dict[str, Any], title: str, where: str) -> Paragraph:
    text = field(record, "context", where)
    questions = _list(record, "qas", where)
    # An empty list of answers is how the reference evaluation knows that there is none; "is_impossible" may be missing.
    answered = [each for each in questions if not each.get("is_impossible", False) and each.get("answers") != []]
    return Paragraph(
        title,
        text,
        [(str(field(question, "id", where)), field(question, "question", where)) for question in answered],
        len(questions) - len(answered),
        where,
    )


def _list(record: Any, name: str, where: str) -> list[Any]:
    """Read a field that holds a list of objects.

    Raises:
        UserError: When it does not.
    """
    values = field(record, name, where) if isinstance(record, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise UserError(f"{where}: {name!r} does not hold a list of objects, so the file is not in SQuAD's layout.")
    return values
