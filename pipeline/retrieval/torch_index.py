"""Exact search by torch: streams the table in blocks, keeps the best k, on the processor or a GPU."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from pipeline.encoders.device import chosen_device
from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.index import Index
from pipeline.retrieval.table import Table

QUERIES_AT_ONCE = 1024
SAMPLED_DOCUMENTS = 4096
LOWEST_KEY = torch.iinfo(torch.int64).min
LARGEST_POSITION = 2**32 - 1


class TorchIndex(Index):
    """Exact inner products of every query with every document.

    Memory is k results a query and one block of scores, whatever the number of documents. Scores and positions are
    packed into one integer (see `pack`), so that equal scores have one order, on every device.

    Args:
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:0` …
        block: Documents scored at once.

    Raises:
        UserError: When the device is none, or not here.
    """

    def __init__(self, device: str = "auto", block: int = 4096) -> None:
        if block < 1:
            raise UserError(f"index.block={block} must be at least 1.")
        self.device = chosen_device("index.device", device)
        self.block = block
        self.name = f"exact, torch on {self.device.type}"

    @property
    def exact(self) -> bool:
        """Exact it is."""
        return True

    def identity(self, k: int) -> dict[str, Any]:
        """What decides its answers beside the vectors."""
        return {"torch": str(torch.__version__), "device": self.device.type}

    def build(self, table: Table) -> None:
        """Take a table; exact search needs nothing built."""
        if len(table) > LARGEST_POSITION:
            raise UserError(f"Exact search numbers at most {LARGEST_POSITION:,} documents, not {len(table):,}.")
        self._table = table

    @torch.inference_mode()
    def _search(self, queries: np.ndarray, k: int, precedence: np.ndarray | None) -> Hits:
        on_device = torch.from_numpy(queries).to(self.device)
        places = None if precedence is None else torch.from_numpy(precedence).to(self.device)
        ranks, scores = self._scan(on_device, k, self._guess(on_device, k), places)
        short = ranks[:, -1] < 0
        if short.any():
            lowest = torch.full((int(short.sum()), 1), -torch.inf, device=self.device)
            rows = torch.from_numpy(short).to(self.device)
            ranks[short], scores[short] = self._scan(on_device[rows], k, lowest, places)
        if precedence is None:
            return Hits(ranks, scores)
        return Hits(np.where(ranks < 0, -1, np.argsort(precedence)[ranks]), scores)

    def _guess(self, queries: Tensor, k: int) -> Tensor:
        """Guess a score that every query's k best reach: float32 `[queries, 1]`.

        The guess is a score of a sample of the documents, of such a rank that about one query in thousands has fewer
        than k documents that reach it; those are searched again without a guess, so the results stay exact. A good guess
        spares most of the work beside the matrix products: without one, the first documents all look promising.
        """
        guess = torch.full((len(queries), 1), -torch.inf, device=queries.device)
        step = len(self.table) // SAMPLED_DOCUMENTS
        expected = k / max(1, step)  # how many of the best k are in the sample
        rank = math.ceil(expected + 4 * math.sqrt(expected) + 4)
        if step < 4 or rank > SAMPLED_DOCUMENTS // 2:
            return guess
        sample = torch.from_numpy(self.table.vectors[::step].copy()).to(self.device)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            chunk = slice(start, start + QUERIES_AT_ONCE)
            guess[chunk] = largest(inner_products(queries[chunk], sample), rank).amin(dim=1, keepdim=True)
        return guess

    def _scan(self, queries: Tensor, k: int, least: Tensor, places: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Score all documents block by block and keep the best k that reach a threshold for each query.

        Returns:
            Places int64 (of documents in the order in which equal scores go; None: their positions) and scores float32,
            both `[queries, k]`; -1 and minus infinity where too few reached it.
        """
        chunks = [
            BestSoFar(queries[start : start + QUERIES_AT_ONCE], k, least[start : start + QUERIES_AT_ONCE])
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        for start in range(0, len(self.table), self.block):
            # A memory map is read-only, which torch tensors cannot be; the copy is one block.
            documents = torch.from_numpy(self.table.vectors[start : start + self.block].copy()).to(self.device)
            stop = start + len(documents)
            of_block = torch.arange(start, stop, device=self.device) if places is None else places[start:stop]
            for best in chunks:
                best.add(documents, of_block)
        found = [best.finish() for best in chunks]
        empty = (np.empty((0, k), np.int64), np.empty((0, k), np.float32))
        ranks, scores = zip(empty, *found, strict=True)
        return np.concatenate(ranks), np.concatenate(scores)


class BestSoFar:
    """The best k documents so far of one chunk of queries.

    A document enters a query's buffer when its score reaches the query's threshold; a full buffer is shrunk to its
    best k, which raises the threshold to the k-th. What passes is little, so the work beside the matrix product is one
    comparison a score.

    Args:
        queries: float32 `[queries, dimension]`.
        k: Documents kept for each.
        least: Thresholds to begin with, float32 `[queries, 1]`.
    """

    def __init__(self, queries: Tensor, k: int, least: Tensor) -> None:
        self.queries = queries
        self.k = k
        self.capacity = k + max(k, 512)
        self.keys = torch.full((len(queries), self.capacity), LOWEST_KEY, device=queries.device)
        self.filled = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
        self.threshold = least.clone()

    def add(self, documents: Tensor, places: Tensor) -> None:
        """Score one block of documents, whose places among equal scores are int64 `[documents]`."""
        scores = inner_products(self.queries, documents)
        if self._add_promising(scores, places):
            return
        self._keep_best(self.keys)
        if not self._add_promising(scores, places):
            self._add_all(scores, places)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Give places int64 `[queries, k]` and scores float32 `[queries, k]`, best first; -1 where there is none."""
        self._keep_best(self.keys)
        keys = self.keys[:, : self.k].sort(dim=1, descending=True).values
        places, scores = unpack(keys)
        none = keys == LOWEST_KEY
        return places.masked_fill(none, -1).cpu().numpy(), scores.masked_fill(none, -torch.inf).cpu().numpy()

    def _add_promising(self, scores: Tensor, places: Tensor) -> bool:
        """Append what reaches the threshold; False, and nothing appended, when a query's buffer cannot hold it."""
        rows, columns = true_in(scores >= self.threshold)
        counts = torch.bincount(rows, minlength=len(scores))
        after = self.filled + counts
        if int(after.max()) > self.capacity:
            return False
        first = self.filled - counts.cumsum(0) + counts
        free = first[rows] + torch.arange(len(rows), device=rows.device)
        self.keys[rows, free] = pack(scores[rows, columns], places[columns])
        self.filled = after
        return True

    def _add_all(self, scores: Tensor, places: Tensor) -> None:
        """Merge a whole block, which happens while thresholds are low."""
        keys = pack(scores, places).masked_fill(scores < self.threshold, LOWEST_KEY)
        self._keep_best(torch.cat([self.keys[:, : self.k], keys], dim=1))

    def _keep_best(self, keys: Tensor) -> None:
        """Keep the best k of the keys and raise the thresholds of the queries that have as many."""
        self.keys[:, : self.k] = largest(keys, self.k)
        self.keys[:, self.k :] = LOWEST_KEY
        kept = self.keys[:, : self.k]
        self.filled.fill_(self.k)  # fewer where keys were few, but they lie anywhere among the first k places
        worst = kept.amin(dim=1, keepdim=True)
        self.threshold = torch.where(worst == LOWEST_KEY, self.threshold, unpack(worst)[1])


def inner_products(queries: Tensor, documents: Tensor) -> Tensor:
    """Score every document for every query: float32 `[queries, documents]`."""
    if queries.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # oneDNN multiplies float32 twice as fast as the MKL behind `@` on AMD processors, and as fast on Intel's. A
        # single row would take another way through it, which rounds otherwise; doubled, it does not.
        several = [rows if len(rows) > 1 else rows.expand(2, -1).contiguous() for rows in (queries, documents)]
        return linear(*(rows.to_mkldnn() for rows in several)).to_dense()[: len(queries), : len(documents)]
    return queries @ documents.T


def true_in(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns where a mask `[rows, columns]` is true, row by row."""
    if mask.device.type != "cpu":
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns
    # With one place in hundreds true, numpy's scan takes a quarter of the time of torch's.
    flat = torch.from_numpy(np.flatnonzero(mask.numpy()))
    rows = flat // mask.shape[1]
    return rows, flat - rows * mask.shape[1]


def pack(scores: Tensor, places: Tensor) -> Tensor:
    """Pack scores and places into integers that compare as: higher score first, then lower place.

    The bits of a non-negative float32 compare like integers; those of a negative one do when all but the sign are
    flipped. They become the upper half; the place, counted down, the lower.

    Args:
        scores: float32, any shape.
        places: int64 that broadcasts to it, below 2^32.

    Returns:
        int64 of the scores' shape; larger is better.
    """
    bits = (scores + 0.0).view(torch.int32)  # adding zero turns -0.0, which equals 0.0 but has other bits, into 0.0
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (ascending << 32) + (LARGEST_POSITION - places)


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Give back the places (int64) and scores (float32) that were packed."""
    ascending = (keys >> 32).to(torch.int32)
    bits = torch.where(ascending < 0, ascending ^ 0x7FFFFFFF, ascending)
    return LARGEST_POSITION - (keys & LARGEST_POSITION), bits.view(torch.float32)


def largest(keys: Tensor, k: int) -> Tensor:
    """The k largest numbers of every row, in no particular order: `[rows, k]`."""
    if keys.device.type == "cpu":
        # numpy selects with vector instructions, torch.topk on a processor does not: several times faster.
        return torch.from_numpy(np.partition(keys.numpy(), keys.shape[1] - k, axis=1)[:, -k:])
    return keys.topk(k, dim=1, sorted=False).values
