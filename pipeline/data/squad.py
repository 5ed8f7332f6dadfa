"""SQuAD's JSON, versions 1.1 and 2, and whatever shares its layout, such as SQuADShifts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeline.data.lines import field
from pipeline.data.lookup import id_of
from pipeline.data.shares import Paths, Shares, SplitFiles
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError
from pipeline.files import read_json


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
        """Stream file by file."""
        self.files.announce(writer)
        paragraphs: set[str] = set()
        for path, shares in self.files:
            for number, article in enumerate(_list(read_json(path), "data", f"{path}")):
                _write_article(article, f"{path}, article {number + 1}", shares, writer, paragraphs)


def _write_article(
    article: dict[str, Any], where: str, shares: Shares, writer: DatasetWriter, paragraphs: set[str]
) -> None:
    """Write an article's paragraphs, unless another held the same text, and its questions."""
    title = unquote(str(article.get("title", ""))).replace("_", " ")
    split = shares(title)
    for number, paragraph in enumerate(_list(article, "paragraphs", where)):
        place = f"{where}, paragraph {number + 1}"
        context = field(paragraph, "context", place)
        document = id_of(str(context))
        if document not in paragraphs:
            paragraphs.add(document)
            writer.document(document, context, title, where=place)
        for question in _list(paragraph, "qas", place):
            if question.get("is_impossible", False):
                writer.count("unanswerable_questions")
                continue
            id_ = str(field(question, "id", place))
            writer.query(split, id_, field(question, "question", place), where=place)
            writer.judge(split, id_, document, 1, where=place)


def _list(record: Any, name: str, where: str) -> list[Any]:
    """Read a field that holds a list of objects.

    Raises:
        UserError: When it does not.
    """
    values = field(record, name, where) if isinstance(record, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise UserError(f"{where}: {name!r} does not hold a list of objects, so the file is not in SQuAD's layout.")
    return values
