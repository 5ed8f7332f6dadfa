"""BEIR's layout: a folder of `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.lines import existing, given_text, identifier, packed_or_not, read_json_lines
from pipeline.data.lookup import bare
from pipeline.data.shares import dealt, given_splits
from pipeline.data.source import Source
from pipeline.data.trec_qrels import read_qrels
from pipeline.data.writer import DatasetWriter
from pipeline.errors import UserError

QRELS = {"train": ["train"], "validation": ["dev", "validation"], "test": ["test"]}
"""The names that a split's judgements go by; the first that exists is read."""


class Beir(Source):
    """A folder in BEIR's layout (Thakur et al., 2021, https://arxiv.org/abs/2104.08663).

    A query may name documents that are no results of it (`excluded_ids`, as in BRIGHT, https://arxiv.org/abs/2407.12883).

    Args:
        path: The folder.
        validation_share: The share of training queries held out for validation where `qrels/` has `train` and no `dev`.
        **settings: Those of every source.
    """

    as_beir = True

    def __init__(
        self, *, path: str | None = None, validation_share: float = 0.1, name: str | None = None, **settings: Any
    ) -> None:
        super().__init__(name=name or (Path(path).resolve().name if path else None), **settings)
        self.path = path
        self.validation_share = validation_share

    def inputs(self) -> list[Path]:
        """Give the corpus, the queries and the judgements of every split."""
        return [self._file("corpus.jsonl"), self._file("queries.jsonl"), *self._qrels().values()]

    def _file(self, name: str) -> Path:
        """Find a file of the folder, compressed or not."""
        folder = existing(self.path, "dataset.path")
        if found := packed_or_not(folder / name):
            return found
        if parts := collections_in(folder):
            raise UserError(
                f"{folder} holds {len(parts)} collections, and this needs one: give it as dataset.path={parts[0]}, or "
                "evaluate a model on all of them and their mean by evaluate.py."
            )
        raise UserError(f"{folder} has no {name}; dataset.path must be a folder in BEIR's layout.")

    def _qrels(self) -> dict[str, Path]:
        """Find the judgements of each split."""
        folder = existing(self.path, "dataset.path") / "qrels"
        found = {
            split: path
            for split, names in QRELS.items()
            for path in [next(filter(None, (packed_or_not(folder / f"{name}.tsv") for name in names)), None)]
            if path is not None
        }
        if not found:
            raise UserError(f"{folder} has no train.tsv, dev.tsv or test.tsv; dataset.path must be in BEIR's layout.")
        return found

    def write(self, writer: DatasetWriter) -> None:
        """Stream judgements, then the queries that they name, then the corpus."""
        splits_of: dict[str, set[str]] = {}
        for split, shares in given_splits(self._qrels(), self.validation_share).items():
            shares.announce(writer)
            split_of = dealt(shares, ((bare(str(query)), text) for _, query, text, _ in self._queries()))
            for where, query, document, grade in read_qrels(self._qrels()[split]):
                with writer.bad:
                    name = split_of(bare(query))
                    splits_of.setdefault(bare(query), set()).add(name)
                    writer.judge(name, query, document, grade, where=where)
        for where, query, text, record in self._queries():
            for name in sorted(splits_of.get(bare(str(query)), ())):
                with writer.bad:
                    writer.query(name, query, text, where=where)
                    if excluded := excluded_ids(record, where):
                        writer.exclude(name, query, excluded)
        for where, record in read_json_lines(self._file("corpus.jsonl"), "_id", "text"):
            with writer.bad:
                title, text = (given_text(record.get(name)) for name in ("title", "text"))
                writer.document(identifier(record["_id"]), text, title, where=where)

    def _queries(self) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
        """Read the place, the id, the text and all fields of every query."""
        for where, record in read_json_lines(self._file("queries.jsonl"), "_id", "text"):
            yield where, identifier(record["_id"]), record["text"], record


def collections_in(root: Path) -> list[Path]:
    """Give the folders in BEIR's layout right below a folder that is none itself, such as the twelve of CQADupStack."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []
    found = [folder for folder in folders if packed_or_not(folder / "corpus.jsonl")]
    if root in found or not found:
        return []
    if halves := [folder for folder in folders if folder not in found and packed_or_not(folder / "queries.jsonl")]:
        raise UserError(f"{halves[0]} has queries.jsonl but no corpus.jsonl; get it again, or take the folder away.")
    return found


def excluded_ids(record: dict[str, Any], where: str) -> list[str]:
    """Read which documents are no results of a query, as BRIGHT has them: `excluded_ids`, perhaps in its `metadata`.

    Raises:
        UserError: When the field holds something else than a list of ids.
    """
    metadata = record.get("metadata")
    found = record.get("excluded_ids") or (metadata.get("excluded_ids") if isinstance(metadata, dict) else None) or []
    ids: list[Any] = [identifier(id_) for id_ in found] if isinstance(found, list) else [None]
    if not all(isinstance(id_, str) for id_ in ids):
        raise UserError(f"{where}: excluded_ids is {found!r}; it must be a list of ids of documents.")
    return ids
