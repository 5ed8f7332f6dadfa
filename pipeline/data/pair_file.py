"""Judgements and hard negatives on disk: first by ids as they come, at the end by positions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.text_file import TextFile
from pipeline.errors import UserError

INCOMING = pa.schema([("query", pa.string()), ("document", pa.string()), ("grade", pa.int32()), ("where", pa.string())])
FINAL = pa.schema([("query", pa.int64()), ("document", pa.int64()), ("grade", pa.int32())])
ROWS_IN_BATCH = 1 << 16


@dataclass(frozen=True)
class Pairs:
    """Queries paired with documents, by their positions.

    Attributes:
        queries: int64 [pairs].
        documents: int64 [pairs].
        grades: int32 [pairs].
    """

    queries: np.ndarray
    documents: np.ndarray
    grades: np.ndarray

    def __len__(self) -> int:
        return len(self.queries)

    def only(self, keep: np.ndarray) -> "Pairs":
        """Keep some pairs: a mask or positions."""
        return Pairs(self.queries[keep], self.documents[keep], self.grades[keep])

    def write(self, path: Path, kept_queries: np.ndarray) -> None:
        """Write the pairs with their queries numbered anew after some queries were left out.

        Args:
            path: The Arrow file.
            kept_queries: bool [queries]; every pair's query must be among those kept.
        """
        renumbered = np.cumsum(kept_queries, dtype=np.int64) - 1
        columns = [pa.array(renumbered[self.queries]), pa.array(self.documents), pa.array(self.grades)]
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, FINAL) as file:
            file.write_batch(pa.record_batch(columns, schema=FINAL))

    @classmethod
    def read(cls, path: Path) -> "Pairs":
        """Map the pairs of a file."""
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return cls(*(table.column(name).to_numpy() for name in FINAL.names))


class PairWriter:
    """Writes pairs of ids as they come, and says at the end where those ids stand.

    Args:
        path: A file that lives until `resolve`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.ipc.new_file(str(path), INCOMING)
        self._rows: list[tuple[str, str, int, str]] = []

    def add(self, query_id: str, document_id: str, grade: int, where: str) -> None:
        """Append one pair."""
        self._rows.append((query_id, document_id, grade, where))
        if len(self._rows) >= ROWS_IN_BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = [
                pa.array(column, kind.type)
                for column, kind in zip(zip(*self._rows, strict=True), INCOMING, strict=True)
            ]
            self._file.write_batch(pa.record_batch(columns, schema=INCOMING))
            self._rows = []

    def resolve(self, queries: TextFile, documents: TextFile, what: str) -> Pairs:
        """Look every id up, and remove the file.

        Args:
            queries: The queries of the split.
            documents: The documents that it searches.
            what: Dataset and split, for errors.

        Raises:
            UserError: When a pair names a query or a document that is not there.
        """
        self._flush()
        self._file.close()
        found: list[Pairs] = []
        unknown: list[tuple[str, str, str]] = []
        for batch in self._batches():
            query_ids, document_ids = batch["query"].to_pylist(), batch["document"].to_pylist()
            pairs = Pairs(
                queries.lookup.positions(query_ids, queries.ids),
                documents.lookup.positions(document_ids, documents.ids),
                batch["grade"].to_numpy(),
            )
            for kind, ids, positions in (
                ("query", query_ids, pairs.queries),
                ("document", document_ids, pairs.documents),
            ):
                unknown += [(kind, ids[row], batch["where"][row].as_py()) for row in np.flatnonzero(positions < 0)]
            found.append(pairs)
        self._path.unlink()
        if unknown:
            raise UserError(_unknown(unknown, what))
        columns = ("queries", "documents", "grades")
        if not found:
            return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
        return Pairs(*(np.concatenate([getattr(pairs, name) for pairs in found]) for name in columns))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self._path)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


def _unknown(unknown: list[tuple[str, str, str]], what: str) -> str:
    """Word the refusal of judgements that name unknown texts."""
    kinds = {kind for kind, _, _ in unknown}
    names = " or ".join({"query": "queries", "document": "documents"}[kind] for kind in sorted(kinds, reverse=True))
    places: dict[tuple[str, str], str] = {}
    for kind, id_, where in unknown:
        places.setdefault((kind, id_), where)
    first = ", ".join(f"{kind} {id_!r} ({where})" for (kind, id_), where in list(places.items())[:3])
    return (
        f"{what}: {len(unknown)} pairs name {names} that are not there, such as {first}; "
        "remove those lines or give the files that belong together."
    )


def distinct(pairs: Pairs) -> Pairs:
    """Leave out pairs that came before, and keep the order of the others."""
    keys = np.stack([pairs.queries, pairs.documents], axis=1)
    return pairs.only(np.sort(np.unique(keys, axis=0, return_index=True)[1]))


def merged(pairs: Pairs, what: str) -> Pairs:
    """Sort judgements by query and document, and join those given twice.

    Raises:
        UserError: When one pair has two grades.
    """
    order = np.lexsort((pairs.grades, pairs.documents, pairs.queries))
    pairs = pairs.only(order)
    again = (np.diff(pairs.queries) == 0) & (np.diff(pairs.documents) == 0)
    conflicts = int((again & (np.diff(pairs.grades) != 0)).sum())
    if conflicts:
        raise UserError(
            f"{what}: {conflicts} documents are judged twice for one query with different grades; keep one."
        )
    return pairs.only(np.concatenate([[True], ~again]) if len(pairs) else np.empty(0, dtype=bool))
