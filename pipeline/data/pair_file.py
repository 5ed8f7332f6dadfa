"""Judgements and hard negatives on disk: first by ids as they come, at the end by positions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.lines import BadLines
from pipeline.data.lookup import bare, other_spelling
from pipeline.data.text_file import TextFile

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
        path: A file that lives until its pairs are looked up.
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

    def judgements(
        self, queries: TextFile, documents: TextFile, bad: BadLines
    ) -> tuple[Pairs, list[str], Counter[str]]:
        """Look every id up, join what is given twice, and remove the file.

        A judged document need not be in the corpus: pools and candidate lists name more than a collection holds, and
        trec_eval counts such a judgement like any other.

        Args:
            queries: The queries of the split.
            documents: The documents that it searches.
            bad: Takes every judgement that contradicts an earlier one.

        Returns:
            The judgements by query and document, a document that is not there standing behind all others; the ids of
            those; and counts for the notes.
        """
        found = self._found(queries, documents)
        pairs = found.pairs
        order = np.lexsort((found.rows, pairs.documents, pairs.queries))
        pairs = pairs.only(order)
        again = (np.diff(pairs.queries) == 0) & (np.diff(pairs.documents) == 0)
        for place in np.flatnonzero(again & (np.diff(pairs.grades) != 0)).tolist():
            first, later = (self._row(int(found.rows[order[each]])) for each in (place, place + 1))
            bad.add(
                f"{later[3]}: document {later[1]!r} is judged {later[2]} for query {later[0]!r}, and {first[2]} in "
                f"{first[3]}; keep one of these different grades."
            )
        self._path.unlink()
        kept = pairs.only(np.concatenate([[True], ~again]) if len(pairs) else np.empty(0, dtype=bool))
        absent = int((kept.documents >= len(documents)).sum())
        repeated = len(pairs) - len(kept)
        return kept, found.absent, found.counts + Counter(repeated_judgements=repeated, judged_but_absent=absent)

    def candidates(self, queries: TextFile, documents: TextFile) -> tuple[Pairs, Counter[str]]:
        """Look every id up, leave out what is there twice or has no text, keep the order, and remove the file.

        Returns:
            The pairs, and counts for the notes.
        """
        found = self._found(queries, documents)
        self._path.unlink()
        keys = np.stack([found.pairs.queries, found.pairs.documents], axis=1)
        once = found.pairs.only(np.sort(np.unique(keys, axis=0, return_index=True)[1]))
        there = once.documents < len(documents)
        dropped = int((~there).sum()) + found.counts["judgements_of_unknown_topics"]
        return once.only(there), Counter(absent_hard_negatives=dropped)

    def _found(self, queries: TextFile, documents: TextFile) -> "_Found":
        """Turn ids into positions; pairs of queries that are not there are left out and counted."""
        self._flush()
        self._file.close()
        absent: dict[str, int] = {}
        found, rows, counts, start = [], [], Counter[str](), 0
        for batch in self._batches():
            query_ids, document_ids = batch["query"].to_pylist(), batch["document"].to_pylist()
            query_rows, query_floats = _positions(queries, query_ids)
            document_rows, document_floats = _positions(documents, document_ids)
            known = query_rows >= 0
            for row in np.flatnonzero(known & (document_rows < 0)).tolist():
                document_rows[row] = len(documents) + absent.setdefault(document_ids[row], len(absent))
            found.append(Pairs(query_rows, document_rows, batch["grade"].to_numpy()).only(known))
            rows.append(start + np.flatnonzero(known))
            counts["judgements_of_unknown_topics"] += int((~known).sum())
            counts["ids_as_floats"] += int((known & (query_floats | document_floats)).sum())
            start += len(batch)
        joined = [
            np.concatenate([np.empty(0, kind), *(getattr(pairs, name) for pairs in found)])
            for name, kind in (("queries", np.int64), ("documents", np.int64), ("grades", np.int32))
        ]
        return _Found(Pairs(*joined), np.concatenate([np.empty(0, np.int64), *rows]), list(absent), counts)

    def _row(self, row: int) -> tuple[str, str, int, str]:
        """Read one pair as it came: query, document, grade and place."""
        for batch in self._batches():
            if row < len(batch):
                return tuple(batch[name][row].as_py() for name in INCOMING.names)
            row -= len(batch)
        raise IndexError(row)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self._path)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


@dataclass(frozen=True)
class _Found:
    """Pairs by positions.

    Attributes:
        pairs: A document that is not there has the number of documents plus its place in `absent`.
        rows: Which of the pairs that came each is, int64 [pairs].
        absent: Ids of documents that are not there.
        counts: Of what was left out or read as something else.
    """

    pairs: Pairs
    rows: np.ndarray
    absent: list[str]
    counts: Counter[str]


def _positions(texts: TextFile, ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Look ids up; those unknown as they stand also with or without the `.0` that a data frame leaves on a number.

    Returns:
        int64 [ids], -1 where an id is unknown; and bool [ids], whether it was found in its other spelling.
    """
    positions = texts.lookup.positions(ids, texts.ids)
    other = [row for row in np.flatnonzero(positions < 0).tolist() if bare(ids[row]).isdecimal()]
    positions[other] = texts.lookup.positions([other_spelling(ids[row]) for row in other], texts.ids)
    floats = np.zeros(len(ids), dtype=bool)
    floats[other] = positions[other] >= 0
    return positions, floats
