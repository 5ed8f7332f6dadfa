"""Anything that the package `ir_datasets` knows by an id."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.data.shares import Shares, dealt, given_splits
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

INSTALL = "pip install ir_datasets"


class IrDatasets(Source):
    """Datasets of `ir_datasets` (MacAvaney et al., 2021, https://arxiv.org/abs/2103.02280), downloaded by it when needed.

    Args:
        train: The id of the training part, such as `beir/scifact/train`; None leaves it out.
        validation: The id of the validation part; None: a share of the training queries is held out.
        test: The id of the part that tests.
        validation_share: The share of training queries held out for validation.
        **settings: Those of every source.
    """

    def __init__(
        self,
        *,
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.ids = {part: id_ for part, id_ in (("train", train), ("validation", validation), ("test", test)) if id_}
        if not self.ids:
            raise UserError("No id is set; give one as dataset.test=ID, such as dataset.test=beir/scifact/test.")
        super().__init__(name=name or next(reversed(self.ids.values())).replace("/", "-"), **settings)
        self.validation_share = validation_share
        self.as_beir = all(id_.startswith("beir/") for id_ in self.ids.values())

    def inputs(self) -> list[Path]:
        """Give no files: an id stands for a dataset that does not change."""
        return []

    def write(self, writer: DatasetWriter) -> None:
        """Stream every part; parts of one collection share its documents."""
        collections: dict[str, str] = {}
        for part, shares in given_splits(self.ids, self.validation_share).items():
            id_ = self.ids[part]
            data = _load(id_)
            root = _package().parent_id(id_, "docs")
            if root not in collections:
                collections[root] = f"documents{len(collections) or ''}"
                _write_documents(data, id_, collections[root], writer)
            for name, _ in shares.shares:
                writer.split(name, collections[root], setting=shares.setting)
            _write_queries(data, id_, shares, writer)


def _package() -> Any:
    """Import the package, which is optional.

    Raises:
        UserError: When it is not installed; the sentence holds the command that installs it.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise UserError(f"dataset=ir_datasets needs the package ir_datasets; install it with `{INSTALL}`.") from error
    return ir_datasets


def _load(id_: str) -> Any:
    """Find a dataset that has documents, queries and judgements.

    Raises:
        UserError: When there is no such id, or a part is missing.
    """
    try:
        data = _package().load(id_)
    except KeyError as error:
        raise UserError(
            f"ir_datasets knows no dataset {id_!r}; `ir_datasets list` prints those that it knows."
        ) from error
    for part in ("docs", "queries", "qrels"):
        if not getattr(data, f"has_{part}")():
            raise UserError(f"The dataset {id_!r} of ir_datasets has no {part}; choose one of its parts that has.")
    return data


def _write_documents(data: Any, id_: str, collection: str, writer: DatasetWriter) -> None:
    for number, document in enumerate(data.docs_iter(), start=1):
        title, text = getattr(document, "title", None), getattr(document, "text", None)
        if not isinstance(title, str) or not isinstance(text, str):
            title, text = "", document.default_text()
        with writer.bad:
            writer.document(document.doc_id, text, title, collection=collection, where=f"{id_}, document {number}")


def _write_queries(data: Any, id_: str, shares: Shares, writer: DatasetWriter) -> None:
    """Write judgements and the queries that they name."""
    judged = set()
    split_of = dealt(shares, ((query.query_id, query.default_text()) for query in data.queries_iter()))
    for number, judgement in enumerate(_judgements(data, writer), start=1):
        query = judgement.query_id
        judged.add(query)
        where = f"{id_}, judgement {number}"
        with writer.bad:
            writer.judge(split_of(query), query, judgement.doc_id, judgement.relevance, where=where)
    for number, query in enumerate(data.queries_iter(), start=1):
        if query.query_id in judged:
            split, text = split_of(query.query_id), query.default_text()
            with writer.bad:
                writer.query(split, query.query_id, text, where=f"{id_}, query {number}")


def _judgements(data: Any, writer: DatasetWriter) -> Iterable[Any]:
    """Give each judgement once: some collections judge a passage several times, and the last holds, as the package has it."""
    found: dict[tuple[str, str], Any] = {}
    for each in data.qrels_iter():
        before = found.get((each.query_id, each.doc_id), each)
        writer.count("changed_judgements", int(before.relevance != each.relevance))
        found[each.query_id, each.doc_id] = each
    return found.values()
