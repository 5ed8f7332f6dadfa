"""MS MARCO's passages: `collection.tsv`, `queries.*.tsv`, `qrels.*.tsv` and, optionally, `qidpidtriples`."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.data.lines import existing, packed_or_not, read_table
from pipeline.data.lookup import bare
from pipeline.data.shares import Shares, dealt
from pipeline.data.source import Source
from pipeline.data.trec_qrels import read_qrels
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError


class MsMarco(Source):
    """The passage ranking task (Bajaj et al., 2016, https://arxiv.org/abs/1611.09268).

    The official test has no public judgements, so its small development set tests; TREC-DL's files can take its place.

    Args:
        path: The folder; the files below are names in it, or paths of their own. Compressed files are read as they are.
        collection: The passages.
        train_queries: The training queries; None leaves training out.
        train_qrels: Their judgements.
        test_queries: The test queries.
        test_qrels: Their judgements.
        triples: Query, positive, negative, by ids; None: no hard negatives.
        hard_negatives: How many hard negatives of a query are taken from the triples; None: all.
        validation_share: The share of training queries held out for validation.
        **settings: Those of every source.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        collection: str = "collection.tsv",
        train_queries: str | None = "queries.train.tsv",
        train_qrels: str = "qrels.train.tsv",
        test_queries: str = "queries.dev.small.tsv",
        test_qrels: str = "qrels.dev.small.tsv",
        triples: str | None = None,
        hard_negatives: int | None = 10,
        validation_share: float = 0.01,
        name: str | None = "msmarco",
        **settings: Any,
    ) -> None:
        super().__init__(name=name, **settings)
        self.path = path
        self.collection = collection
        self.queries = {"train": train_queries, "test": test_queries}
        self.qrels = {"train": train_qrels, "test": test_qrels}
        self.triples = triples
        self.hard_negatives = hard_negatives
        self.shares = {"train": Shares.held_out(validation_share), "test": Shares.all_in("test")}

    def inputs(self) -> list[Path]:
        """Give the files that are set."""
        names = [self.collection]
        for part, queries in self.queries.items():
            names += [queries, self.qrels[part]] if queries else []
        names += [self.triples] if self.triples else []
        return [self._file(name) for name in names]

    def _file(self, name: str) -> Path:
        path = existing(self.path, "dataset.path") / name
        return packed_or_not(path) or existing(path, "dataset.path")

    def write(self, writer: DatasetWriter) -> None:
        """Stream judgements, then the queries that they name, then triples and passages."""
        split_of = {
            part: self._write_queries(part, queries, writer) for part, queries in self.queries.items() if queries
        }
        if self.triples is not None:
            self._write_negatives(self._file(self.triples), split_of.get("train", self.shares["train"]), writer)
        for where, (id_, text) in read_texts(self._file(self.collection), "pid passage"):
            with writer.bad:
                writer.document(id_, text, where=where)

    def _write_queries(self, part: str, queries: str, writer: DatasetWriter) -> Callable[[str], str]:
        """Write the judgements, and only queries that have any; give what deals queries to splits by their ids."""
        self.shares[part].announce(writer)
        split_of = dealt(
            self.shares[part], ((id_, text) for _, (id_, text) in read_texts(self._file(queries), "qid query"))
        )
        judged = set()
        for where, query, document, grade in read_qrels(self._file(self.qrels[part])):
            with writer.bad:
                judged.add(bare(query))
                writer.judge(split_of(bare(query)), query, document, grade, where=where)
        for where, (query, text) in read_texts(self._file(queries), "qid query"):
            if bare(query) in judged:
                with writer.bad:
                    writer.query(split_of(bare(query)), query, text, where=where)
        return split_of

    def _write_negatives(self, path: Path, split_of: Callable[[str], str], writer: DatasetWriter) -> None:
        """Write the first negatives of each query; the file has hundreds of millions of lines."""
        taken: Counter[str] = Counter()
        for where, (query, positive, negative) in read_table(path, "qid positive negative"):
            if len(positive.split()) > 1:
                raise UserError(
                    f"{where}: dataset.triples holds texts and must hold ids; give MS MARCO's file of ids, "
                    "qidpidtriples.train.full.2.tsv.gz."
                )
            if self.hard_negatives is None or taken[query] < self.hard_negatives:
                taken[query] += 1
                writer.hard_negative(split_of(query), query, negative, where=where)


def read_texts(path: Path, columns: str) -> Iterator[tuple[str, list[str]]]:
    """Read a file of ids and texts, which may hold tabs.

    Raises:
        UserError: When the file is another of MS MARCO's, whose further columns would be read as text.
    """
    for number, (where, row) in enumerate(read_table(path, columns, rest=True)):
        further = row[1].split("\t")
        if number == 0 and len(further) == 3 and further[0].isdecimal():
            raise UserError(f"{where}: this is a list of candidates (qid, pid, query, passage), not {columns}.")
        if number == 0 and len(further) == 3 and further[0].startswith("http"):
            raise UserError(
                f"{where}: these are whole documents (id, address, title, text), not passages; read them with "
                "dataset=ir_datasets dataset.test=msmarco-document/dev."
            )
        yield where, row
