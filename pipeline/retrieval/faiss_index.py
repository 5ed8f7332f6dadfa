"""Search by faiss: flat, IVF, HNSW, PQ and whatever else a factory string describes."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from pipeline.checks import one_of, text, truth, whole_number
from pipeline.errors import UserError
from pipeline.files import digest_of, digest_of_file, disk_errors, locked, read_json, write_json
from pipeline.progress import progress
from pipeline.retrieval.faiss_effort import effort, least_effort
from pipeline.retrieval.hits import Hits
from pipeline.retrieval.hybrid import dense_scores
from pipeline.retrieval.index import Index
from pipeline.retrieval.table import Table
from pipeline.retrieval.ties import first_of_ties
from pipeline.retrieval.torch_index import TorchIndex

ROWS_AT_ONCE = 16_384
POINTS_PER_CENTROID = 256
"""faiss's own limit: k-means looks at no more points than this for each centroid."""
LEAST_POINTS_PER_CENTROID = faiss.ClusteringParameters().min_points_per_centroid
"""faiss's own limit: below so many points for each centroid it warns that centroids will be poor."""
GPU_LARGEST_K = 2048


class FaissIndex(Index):
    """Inner-product search by a faiss index.

    HNSW links documents on several threads in whatever order they finish, so two builds may answer differently in
    rare cases; every other kind gives the same answers each time.

    Args:
        factory: faiss's description, such as `Flat`, `IVF1024,Flat`, `HNSW32`, `IVF1024,PQ32np` (`np` leaves out minutes of
            training for Hamming distances, which are not used here).
        device: `auto` (GPUs where faiss has them), `cpu` or `gpu`.
        fp16: On GPUs, keep vectors as 16-bit numbers.
        shard: On several GPUs, spread the documents over them instead of copying all to each.
        build_parameters: faiss parameters set before documents are added, such as `{efConstruction: 200}`.
        search_parameters: faiss parameters of a search, such as `{nprobe: 32}` or `{efSearch: 128}`. Where one is None or
            left out, `nprobe` and `efSearch` follow the number of results (see `effort`).
        seed: Fixes the sample of documents that the index is trained on.

    Raises:
        UserError: When a GPU is asked for where faiss has none, what is of GPUs with `cpu`, the device is unknown, or a
            parameter is no whole number above 0.
    """

    def __init__(
        self,
        factory: str = "Flat",
        device: str = "auto",
        fp16: bool = False,
        shard: bool = False,
        build_parameters: Mapping[str, int | None] | None = None,
        search_parameters: Mapping[str, int | None] | None = None,
        seed: int = 0,
    ) -> None:
        one_of("index.device", device, ("auto", "cpu", "gpu"))
        if device == "gpu" and not faiss.get_num_gpus():
            raise UserError("index.device=gpu asks for a GPU, but faiss has none here; install faiss-gpu or use cpu.")
        for setting, value in (("fp16", fp16), ("shard", shard)):
            if truth(f"index.{setting}", value) and device == "cpu":
                raise UserError(f"index.{setting}={value} is of GPUs and would change nothing with index.device=cpu.")
        self.factory = text("index.factory", factory)
        self.device = device
        self.fp16 = fp16
        self.shard = shard
        self.build_parameters = _whole_numbers("build_parameters", build_parameters)
        self.search_parameters = _whole_numbers("search_parameters", search_parameters)
        self.seed = seed
        self.on_gpu = False
        self.name = f"faiss {factory}"
        self._index: Any = None

    @property
    def exact(self) -> bool:
        """Whether the vectors are kept as they are and all are looked at."""
        return isinstance(self._empty(self.table.dimension), faiss.IndexFlat) and not (self.on_gpu and self.fp16)

    def identity(self, k: int) -> dict[str, Any]:
        """What decides its answers beside the vectors."""
        made = {"faiss": faiss.__version__, "factory": self.factory, "build": self.build_parameters, "seed": self.seed}
        return made | {"search": self.parameters(k), "gpu": self.on_gpu, "fp16": self.on_gpu and self.fp16}

    def parameters(self, k: int) -> dict[str, int]:
        """The search parameters that were given, and those that follow k."""
        followed = effort(self._empty(self.table.dimension), k, len(self.table))
        if self.on_gpu and "nprobe" in followed:
            followed["nprobe"] = min(followed["nprobe"], GPU_LARGEST_K)
        return followed | self.search_parameters

    def shortcomings(self, k: int) -> list[str]:
        """Say which search parameters are below what k results need, and whether the training had too few documents."""
        needed = least_effort(self._empty(self.table.dimension), k, len(self.table))
        said = [
            f"{name}={value} is below the {needed[name]:,} that {k:,} results need"
            for name, value in self.search_parameters.items()
            if value < needed.get(name, 0)
        ]
        wanted = LEAST_POINTS_PER_CENTROID * max(_centroids(self.factory), default=0)
        if len(self.table) < wanted:
            said.append(
                f"it was trained on {len(self.table):,} documents, and faiss wants {wanted:,} for its centroids"
            )
        return said

    def require(self, documents: int, dimension: int) -> None:
        """Refuse a factory string that is none, or that needs more documents to train on.

        Raises:
            UserError: When the index cannot be made of so many vectors of this dimension.
        """
        self._empty(dimension)
        needed = max(_centroids(self.factory), default=0)
        if documents < needed:
            raise self._too_few(documents, needed)

    def build(self, table: Table) -> None:
        """Train the index on a sample of the documents, if it wants training, and add them all, block by block.

        Raises:
            UserError: When the factory string is unknown or does not fit the vectors, or the documents are too few
                to train on.
        """
        index = self._placed(self._empty(table.dimension))
        self._set(index, "build_parameters", self.build_parameters)
        if not index.is_trained:
            self._train(index, table)
        with progress(f"Adding to {self.name}", len(table), "documents") as advance:
            for start in range(0, len(table), ROWS_AT_ONCE):
                rows = table.vectors[start : start + ROWS_AT_ONCE]
                index.add(np.ascontiguousarray(rows))
                advance(len(rows))
        self._take(index, table)

    def prepare(self, table: Table, store: Path) -> None:
        """Build the index, or open it from the store; a flat one is built each time, as fast as it would be read."""
        if isinstance(self._empty(table.dimension), faiss.IndexFlat):
            self.build(table)
            return
        folder = Path(store) / "indexes" / self._key(table)
        with locked(folder, f"the index of {len(table):,} documents"):
            if (folder / "index.json").exists():
                self.open(folder, table)
            else:
                self.build(table)
                self.save(folder)

    def save(self, folder: Path) -> None:
        """Write the index; `index.json` comes last and says that the rest is whole.

        Raises:
            UserError: When the disk is full.
        """
        beside = folder / ".index.faiss.part"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                faiss.write_index(faiss.index_gpu_to_cpu(self._index) if self.on_gpu else self._index, str(beside))
                beside.replace(folder / "index.faiss")
            finally:
                beside.unlink(missing_ok=True)
        made = {"factory": self.factory, "key": self._key(self.table), "sha256": digest_of_file(folder / "index.faiss")}
        write_json(folder / "index.json", made)

    def open(self, folder: Path, table: Table) -> None:
        """Read an index that was saved.

        Raises:
            UserError: When it is missing or damaged, or was made with other settings or from another table.
        """
        made = read_json(folder / "index.json")
        if made.get("key") != self._key(table):
            raise UserError(
                f"The index {folder} was made from other vectors or settings ({made.get('factory')}); build it anew."
            )
        path = folder / "index.faiss"
        if not path.exists() or digest_of_file(path) != made.get("sha256"):
            raise UserError(f"The index {folder} is damaged; delete the folder to make it anew.")
        self._take(self._placed(faiss.read_index(str(path))), table)

    def _search(self, queries: np.ndarray, k: int, precedence: np.ndarray | None) -> Hits:
        if self.on_gpu and k > GPU_LARGEST_K:
            exact = TorchIndex()
            exact.build(self.table)
            return exact.search(queries, k, precedence)
        self._set(self._index, "search_parameters", self.parameters(k))
        most = min(len(self.table), GPU_LARGEST_K) if self.on_gpu else len(self.table)
        doubt = self._rounding(queries) if self.exact else np.zeros(len(queries))
        return first_of_ties(lambda rows, depth: self._found(queries[rows], depth), k, most, doubt, precedence)

    def _found(self, queries: np.ndarray, k: int) -> Hits:
        """Ask faiss; in no certain order.

        faiss multiplies matrices in pieces of many shapes, which round differently, so that equal vectors may get
        unequal scores. Where the vectors are all there, each product is computed again on its own.
        """
        scores, positions = self._index.search(queries, k)
        return Hits(positions, dense_scores(self.table.vectors, queries, positions) if self.exact else scores)

    def _rounding(self, queries: np.ndarray) -> np.ndarray:
        """How far two ways to compute one score can be apart, float64 `[queries]`."""
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1) * self.table.largest_norm
        return 2 * self.table.dimension * float(np.finfo(np.float32).eps) * lengths

    def _key(self, table: Table) -> str:
        """Name everything that determines the index: the vectors, the settings of its making, and faiss's version."""
        made_from = [table.key, self.factory, self.build_parameters, self.seed, faiss.__version__]
        return digest_of(made_from)[:32]

    def _empty(self, dimension: int) -> Any:
        """Make an index without documents.

        Raises:
            UserError: When faiss does not know the factory string or cannot search inner products with it.
        """
        if re.search(r"\bIDMap", self.factory):
            raise UserError(
                f"index.factory={self.factory} keeps ids of its own, and documents are known by their place; leave IDMap out."
            )
        try:
            index = faiss.index_factory(dimension, self.factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise UserError(
                f"index.factory={self.factory} is no faiss index for vectors of {dimension} dimensions"
                f" ({_reason(error)}); try Flat, IVF1024,Flat, HNSW32 or PQ32np."
            ) from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            # faiss ignores the metric silently for some kinds, such as HNSW over PQ.
            raise UserError(
                f"index.factory={self.factory} cannot search inner products; try Flat, IVF1024,PQ32np or HNSW32."
            )
        return index

    def _placed(self, index: Any) -> Any:
        """Move an index to the GPUs, where there are any and it can live there."""
        self.on_gpu = False
        if self.device == "cpu" or not faiss.get_num_gpus():
            return index
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = self.fp16
        options.shard = self.shard
        try:
            placed = faiss.index_cpu_to_all_gpus(index, co=options)
        except RuntimeError as error:
            if self.device == "gpu":
                raise UserError(
                    f"index.factory={self.factory} cannot live on a GPU ({_reason(error)}); use index.device=cpu."
                ) from error
            return index
        self.on_gpu = True
        return placed

    def _take(self, index: Any, table: Table) -> None:
        """Become the index over a table."""
        self._set(index, "search_parameters", self.search_parameters)  # refused here, before any search
        self._index = index
        self._table = table
        self.name = f"faiss {self.factory}{' on GPU' if self.on_gpu else ''}"

    def _set(self, index: Any, setting: str, parameters: Mapping[str, int]) -> None:
        space = faiss.GpuParameterSpace() if self.on_gpu else faiss.ParameterSpace()
        for name, value in parameters.items():
            try:
                space.set_index_parameter(index, name, value)
            except RuntimeError as error:
                raise UserError(
                    f"index.{setting}.{name}={value} does not fit index.factory={self.factory};"
                    " IVF has nprobe, HNSW has efSearch and efConstruction."
                ) from error

    def _train(self, index: Any, table: Table) -> None:
        """Train on documents drawn by the seed."""
        inverted = None if self.on_gpu else faiss.try_extract_index_ivf(index)
        centroids = max(256, inverted.nlist if inverted else 0)
        count = min(len(table), POINTS_PER_CENTROID * centroids)
        drawn = np.sort(np.random.default_rng(self.seed).choice(len(table), size=count, replace=False))
        try:
            with _said_once():
                index.train(np.ascontiguousarray(table.vectors[drawn]))
        except RuntimeError as error:
            needed = re.search(r"number of clusters \((\d+)\)", str(error))
            if needed:
                raise self._too_few(len(table), int(needed[1])) from error
            raise UserError(f"index.factory={self.factory} cannot be trained ({_reason(error)}); try Flat.") from error

    def _too_few(self, documents: int, needed: int) -> UserError:
        return UserError(
            f"index.factory={self.factory} needs at least {needed:,} documents to train on, but there are"
            f" {documents:,}; use fewer centroids, or Flat."
        )


def _whole_numbers(setting: str, parameters: Mapping[str, int | None] | None) -> dict[str, int]:
    """Keep the parameters that have a value.

    Raises:
        UserError: When one is no whole number above 0; faiss would find nothing, or take another number, unsaid.
    """
    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    return {name: whole_number(f"index.{setting}.{name}", value) for name, value in given.items()}


def _centroids(factory: str) -> list[int]:
    """How many centroids each k-means of a factory string finds: of the inverted lists, and of the product's codes."""
    units = {"": 1, "k": 1024, "M": 1024 * 1024}
    lists = [int(count) * units[unit] for count, unit in re.findall(r"IVF(\d+)([kM]?)", factory)]
    codes = [2 ** int(bits or 8) for bits in re.findall(r"(?<!O)PQ\d+(?:x(\d+))?", factory)]
    return lists + codes


@contextmanager
def _said_once() -> Iterator[None]:
    """Say each line once that faiss's C++ writes to standard error; k-means warns hundreds of times of one thing."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in dict.fromkeys(written.read().decode("utf-8", "replace").splitlines()):
                print(line, file=sys.stderr)


def _reason(error: RuntimeError) -> str:
    """The last part of faiss's message, without its source lines."""
    return str(error).rsplit("failed: ", 1)[-1].rsplit("cpp:", 1)[-1].lstrip("0123456789: ").strip().rstrip(".")
