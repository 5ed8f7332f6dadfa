"""DPR's JSON of questions with contexts, and its passages `psgs_w100.tsv`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.json_array import read_json_objects
from pipeline.data.lines import existing, field, identifier, read_table
from pipeline.data.lookup import id_of
from pipeline.data.records import ID_FIELDS, write_documents
from pipeline.data.shares import Paths, Shares, SplitFiles
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

WIKI = "wiki:"
"""What DPR's retriever sets before the ids of `psgs_w100.tsv`, and some of the published files therefore have."""


class Dpr(Source):
    """Questions with positive and hard negative contexts (Karpukhin et al., 2020, https://arxiv.org/abs/2004.04906).

    The corpus is the file of passages, or, without one, every context that the questions come with: a far easier
    corpus, whose figures are not comparable with published ones. Questions without a positive context
    are left out and counted. Equal questions are one question.

    Args:
        path: One file or several, a JSON array or JSON lines, shared out by `split`.
        train_path: Training files; a share of their questions validates when there is no `validation_path`.
        validation_path: Validation files (DPR's `dev`).
        test_path: Test files.
        passages: `psgs_w100.tsv`, in which every context must then be found by its id; None: the contexts themselves.
        hard_negatives: How many hard negatives of a question are taken, in the file's order; None: all.
        split: Shares of the questions of `path`.
        validation_share: The share of training questions held out for validation.
        **settings: Those of every source.
    """

    first_stands = True

    def __init__(
        self,
        *,
        path: Paths = None,
        train_path: Paths = None,
        validation_path: Paths = None,
        test_path: Paths = None,
        passages: str | None = None,
        hard_negatives: int | None = 10,
        split: Mapping[str, float] | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.files = SplitFiles(path, train_path, validation_path, test_path, split, validation_share)
        super().__init__(name=name or self.files.name(), **settings)
        self.passages = passages
        self.hard_negatives = hard_negatives

    def inputs(self) -> list[Path]:
        """Give the questions and, when set, the passages."""
        files = [path for path, _ in self.files]
        return files if self.passages is None else [*files, existing(self.passages, "dataset.passages")]

    def write(self, writer: DatasetWriter) -> None:
        """Stream the questions, then the passages."""
        self.files.announce(writer)
        for path, shares in self.files:
            for where, record in read_json_objects(path):
                with writer.bad:
                    self._question(record, where, shares, writer)
        if self.passages is not None:
            for where, (id_, text, title) in read_table(Path(self.passages), "id text title", header=True):
                with writer.bad:
                    writer.document(id_.removeprefix(WIKI), unquoted(text), unquoted(title), where=where)

    def _question(self, record: dict[str, Any], where: str, shares: Shares, writer: DatasetWriter) -> None:
        """Write a question, what is relevant to it and what only looks so."""
        question = field(record, "question", where)
        positives = field(record, "positive_ctxs", where)
        if not positives:
            writer.count("questions_without_positive")
            return
        query = id_of(str(question))
        split = shares.of_query(question)
        writer.query(split, query, question, where=where)
        for document in self._contexts(positives, where, writer):
            writer.judge(split, query, document, 1, where=where)
        # All contexts are the corpus, however few of them train.
        negatives = self._contexts(record.get("hard_negative_ctxs") or [], where, writer)
        for document in negatives[: self.hard_negatives]:
            writer.hard_negative(split, query, document, where=where)
        if self.passages is None:
            self._contexts(record.get("negative_ctxs") or [], where, writer)

    def _contexts(self, contexts: list[dict[str, Any]], where: str, writer: DatasetWriter) -> list[str]:
        """Give the ids of contexts, after writing them where they are the corpus."""
        found: list[str] = []
        for context in contexts:
            id_ = context_id(context)
            if self.passages is None:
                known = {name: context[name] for name in ("title", "text") if name in context}
                found += write_documents({**known, "id": id_}, "", None, where, writer)
            elif id_ is None:
                raise UserError(
                    f"{where}: a context has no id, so it cannot be found in dataset.passages; leave that unset."
                )
            else:
                found.append(id_)
        return found


def context_id(context: dict[str, Any]) -> str | None:
    """Find the id by which a context stands in the file of passages, `wiki:12` being its 12; None: it has none."""
    given = next((context[name] for name in ID_FIELDS if context.get(name) is not None), None)
    return None if given is None else str(identifier(given)).removeprefix(WIKI)


def unquoted(cell: str) -> str:
    """Read a cell that a CSV writer put in quotes because it holds some."""
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
