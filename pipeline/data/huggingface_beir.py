"""BEIR as the library `datasets` has it: a corpus, queries, and judgements under a name of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.beir import QRELS, excluded_ids
from pipeline.data.huggingface import load_tables, pick, rows
from pipeline.data.lines import field, given_text, identifier
from pipeline.data.lookup import bare
from pipeline.data.shares import dealt, given_splits
from pipeline.data.source import Source
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError


class HuggingFaceBeir(Source):
    """BEIR's three tables, such as `BeIR/scifact` with the configurations `corpus` and `queries`, and `BeIR/scifact-qrels`.

    Args:
        path: The name or the local folder of corpus and queries.
        qrels: The name or folder of the judgements; None: `path` followed by `-qrels`.
        validation_share: The share of training queries held out for validation where the judgements have no such split.
        **settings: Those of every source.
    """

    as_beir = True

    def __init__(
        self,
        *,
        path: str | None = None,
        qrels: str | None = None,
        validation_share: float = 0.1,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name=name or (path.strip("./").replace("/", "-") if path else None), **settings)
        if path is None:
            raise UserError("dataset.path is not set; give a name such as dataset.path=BeIR/scifact.")
        self.path = path
        self.qrels = qrels or f"{path}-qrels"
        self.validation_share = validation_share

    def inputs(self) -> list[Path]:
        """Give the local files; a name on the hub has none."""
        folders = [Path(folder) for folder in (self.path, self.qrels) if Path(folder).is_dir()]
        return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())

    def write(self, writer: DatasetWriter) -> None:
        """Stream judgements, then the queries that they name, then the corpus."""
        judgements = load_tables(self.qrels, None, None)
        found = {ours: name for ours, names in QRELS.items() for name in names if name in judgements}
        if not found:
            raise UserError(f"{self.qrels} has the splits {', '.join(judgements)}, none of them train, dev or test.")
        splits_of: dict[str, set[str]] = {}
        for ours, shares in given_splits(found, self.validation_share).items():
            shares.announce(writer)
            split_of = dealt(shares, ((bare(str(query)), text) for _, query, text, _ in self._queries()))
            for where, row in rows(judgements[found[ours]], f"{self.qrels}, {found[ours]}"):
                with writer.bad:
                    query, document = (str(identifier(field(row, name, where))) for name in ("query-id", "corpus-id"))
                    name = split_of(bare(query))
                    splits_of.setdefault(bare(query), set()).add(name)
                    writer.judge(name, query, document, field(row, "score", where), where=where)
        for where, query, text, record in self._queries():
            for name in sorted(splits_of.get(bare(str(query)), ())):
                with writer.bad:
                    writer.query(name, query, text, where=where)
                    if excluded := excluded_ids(record, where):
                        writer.exclude(name, query, excluded)
        for where, row in rows(self._table("corpus"), f"{self.path}, corpus"):
            with writer.bad:
                title, text = given_text(row.get("title")), given_text(field(row, "text", where))
                writer.document(identifier(field(row, "_id", where)), text, title, where=where)

    def _queries(self) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
        """Read the place, the id, the text and all fields of every query."""
        for where, row in rows(self._table("queries"), f"{self.path}, queries"):
            yield where, identifier(field(row, "_id", where)), field(row, "text", where), row

    def _table(self, name: str) -> Any:
        return pick(load_tables(self.path, name, None), name, f"{self.path}, configuration {name}")
