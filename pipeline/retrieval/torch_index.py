"""Exact search by torch: streams the table in blocks, keeps the best k, on the processor or a GPU."""

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.index import Index
from pipeline.retrieval.table import Table

QUERIES_AT_ONCE = 1024
LOWEST_KEY = torch.iinfo(torch.int64).min
LARGEST_POSITION = 2**32 - 1


class TorchIndex(Index):
    """Exact inner products of every query with every document.

    Memory is k results a query and one block of scores, whatever the number of documents. Scores and positions are
    packed into one integer (see `pack`), so that equal scores are ordered by position, on every device.

    Args:
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:0` …
        block: Documents scored at once.

    Raises:
        UserError: When a GPU is asked for where there is none.
    """

    def __init__(self, device: str = "auto", block: int = 2048) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"index.device={device} asks for a GPU, but there is none here; use index.device=cpu.")
        if block < 1:
            raise UserError(f"index.block={block} must be at least 1.")
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(chosen if device == "auto" else device)
        self.block = block
        self.name = f"exact, torch on {self.device.type}"

    def build(self, table: Table) -> None:
        """Take a table; exact search needs nothing built."""
        if len(table) > LARGEST_POSITION:
            raise UserError(f"Exact search numbers at most {LARGEST_POSITION:,} documents, not {len(table):,}.")
        self._table = table

    @torch.inference_mode()
    def _search(self, queries: np.ndarray, k: int) -> Hits:
        chunks = [
            _Best(torch.from_numpy(queries[start : start + QUERIES_AT_ONCE]).to(self.device), k)
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        for start in range(0, len(self.table), self.block):
            documents = self._documents(start)
            for best in chunks:
                best.add(documents, start)
        found = [best.finish() for best in chunks]
        positions = np.concatenate([positions for positions, _ in found]) if found else np.empty((0, k), np.int64)
        scores = np.concatenate([scores for _, scores in found]) if found else np.empty((0, k), np.float32)
        return Hits(positions, scores)

    def _documents(self, start: int) -> Tensor:
        """Read one block of the table: float32 `[block, dimension]` on the device."""
        rows = self.table.vectors[start : start + self.block]
        # A memory map is read-only, which torch tensors cannot be; the copy is one block.
        return torch.from_numpy(np.array(rows)).to(self.device)


class _Best:
    """The best k documents so far of one chunk of queries.

    A document enters the buffer when its score is above the query's k-th best as of the last `_shrink`. Blocks come
    in ascending position, so an equal score can never win later. With most scores below the threshold the work beside
    the matrix product is one comparison a score.
    """

    def __init__(self, queries: Tensor, k: int) -> None:
        self.queries = queries
        self.k = k
        self.capacity = k + max(k, 256)
        self.keys = torch.full((len(queries), self.capacity), LOWEST_KEY, device=queries.device)
        self.filled = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
        self.threshold = torch.full((len(queries), 1), -torch.inf, device=queries.device)

    def add(self, documents: Tensor, start: int) -> None:
        """Score one block of documents, the first of which has the position `start`."""
        scores = inner_products(self.queries, documents)
        if self._add_promising(scores, start):
            return
        self._shrink()
        if not self._add_promising(scores, start):
            self._add_all(scores, start)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Give positions int64 `[queries, k]` and scores float32 `[queries, k]`, best first."""
        self._shrink()
        keys = self.keys[:, : self.k].sort(dim=1, descending=True).values
        positions, scores = unpack(keys)
        return positions.cpu().numpy(), scores.cpu().numpy()

    def _add_promising(self, scores: Tensor, start: int) -> bool:
        """Append what is above the threshold; False, and nothing appended, when a query's buffer cannot hold it."""
        rows, columns = (scores > self.threshold).nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(scores))
        after = self.filled + counts
        if int(after.max()) > self.capacity:
            return False
        first = counts.cumsum(0) - counts
        places = (self.filled - first)[rows] + torch.arange(len(rows), device=rows.device)
        self.keys[rows, places] = pack(scores[rows, columns], columns + start)
        self.filled = after
        return True

    def _add_all(self, scores: Tensor, start: int) -> None:
        """Merge a whole block, which happens while the thresholds are still low."""
        positions = torch.arange(start, start + scores.shape[1], device=scores.device)
        merged = torch.cat([self.keys[:, : self.k], pack(scores, positions)], dim=1)
        self.filled = torch.clamp(self.filled + scores.shape[1], max=self.k)
        self._keep(merged)

    def _shrink(self) -> None:
        """Keep the best k of every buffer and raise the thresholds to the k-th."""
        self.filled = torch.clamp(self.filled, max=self.k)
        self._keep(self.keys)

    def _keep(self, keys: Tensor) -> None:
        self.keys[:, : self.k] = largest(keys, self.k)
        self.keys[:, self.k :] = LOWEST_KEY
        worst = self.keys[:, : self.k].amin(dim=1, keepdim=True)
        self.threshold = torch.where(worst == LOWEST_KEY, -torch.inf, unpack(worst)[1])


def inner_products(queries: Tensor, documents: Tensor) -> Tensor:
    """Score every document for every query: float32 `[queries, documents]`."""
    if queries.device.type == "cpu":
        # numpy's OpenBLAS is about a fifth faster than torch's MKL on AMD processors, and not slower on Intel's.
        return torch.from_numpy(np.matmul(queries.numpy(), documents.numpy().T))
    return queries @ documents.T


def pack(scores: Tensor, positions: Tensor) -> Tensor:
    """Pack scores and positions into integers that compare as: higher score first, then lower position.

    The bits of a non-negative float32 compare like integers; those of a negative one do when all but the sign are
    flipped. They become the upper half; the position, counted down, the lower.

    Args:
        scores: float32, any shape.
        positions: int64 that broadcasts to it, below 2^32.

    Returns:
        int64 of the scores' shape; larger is better.
    """
    bits = (scores + 0.0).view(torch.int32)  # adding zero turns -0.0, which equals 0.0 but has other bits, into 0.0
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (ascending << 32) + (LARGEST_POSITION - positions)


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Give back the positions (int64) and scores (float32) that were packed."""
    ascending = (keys >> 32).to(torch.int32)
    bits = torch.where(ascending < 0, ascending ^ 0x7FFFFFFF, ascending)
    return LARGEST_POSITION - (keys & LARGEST_POSITION), bits.view(torch.float32)


def largest(keys: Tensor, k: int) -> Tensor:
    """The k largest keys of every row, in no particular order: int64 `[rows, k]`."""
    if keys.device.type == "cpu":
        # numpy selects with vector instructions, torch.topk on a processor does not: several times faster.
        return torch.from_numpy(np.partition(keys.numpy(), keys.shape[1] - k, axis=1)[:, -k:])
    return keys.topk(k, dim=1, sorted=False).values
