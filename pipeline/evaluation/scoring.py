"""Retrieval over a split of a dataset: BM25, dense encoders and their hybrid, with what each earned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checks import a_list, number, one_of
from pipeline.data.dataset import Dataset, Split
from pipeline.data.remarks import remarks
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings
from pipeline.errors import UserError
from pipeline.evaluation.depths import DEPTH, chosen_depth, chosen_hybrid_depth
from pipeline.evaluation.kept_searches import KeptSearches, timed
from pipeline.evaluation.measures import Scores, highest_grade, measure, parse_measures, require_relevant
from pipeline.evaluation.results import Results, SystemResult
from pipeline.files import digest_of
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.early_stopping import rerank
from pipeline.retrieval.hits import Hits, reach
from pipeline.retrieval.hybrid import NORMALISATIONS, dense_scores, interpolate, tune_weight
from pipeline.retrieval.index import Index
from pipeline.retrieval.kept import kept_hits
from pipeline.retrieval.run import Run
from pipeline.retrieval.table import Table
from pipeline.retrieval.torch_index import TorchIndex

UNTUNED_WEIGHT = 0.5
TUNING_SPLIT = "validation"


class Retriever:
    """Searches one split's documents with several systems and scores what they find.

    What was found is kept in the store: another run with the same system over the same texts finds it there.

    Args:
        dataset: Where the split comes from.
        split: The split that is scored, such as `test`.
        lexical: BM25.
        index: Finds documents by their vectors.
        encoding: How frozen towers make tables.
        store: Tables and lexical indexes, shared between runs.
        measures: Names such as `ndcg@10`; the first one tunes the hybrid.
        k: Results kept for each query; None: 1,000 or the whole corpus.
        hybrid_weights: Lexical weights tried on the validation split; a single one is taken as it is.
        hybrid_normalisation: `minmax` or `raw`.
        hybrid_depth: Results that re-ranking keeps; fewer than `k` lets it stop early. None: as many as it was given.

    Raises:
        UserError: For an unknown split or measure, judgements that no measure can count, a `k` that the corpus cannot
            fill or that a measure exceeds, or a `hybrid_depth` that does not go with `k`, the normalisation or a measure.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        lexical: Bm25,
        index: Index,
        encoding: EncodingSettings,
        store: Path,
        measures: Sequence[str],
        k: int | None,
        hybrid_weights: Sequence[float],
        hybrid_normalisation: str,
        hybrid_depth: int | None,
    ) -> None:
        self.dataset = dataset
        self.split = dataset.split(split)
        if not len(self.split.queries):
            raise UserError(f"The split {split} of {dataset.name} has no queries to score; choose another one.")
        self.lexical = lexical
        self.index = index
        self.encoding = encoding
        self.store = Path(store)
        self.measures = parse_measures(measures)
        what = f"The split {split} of {dataset.name}"
        require_relevant(self.split.judgements, self.measures, self._relevant_from, what, "dataset.relevant_from")
        self.depth = chosen_depth(k, len(self.split.documents), self.measures)
        self.hybrid_weights = [number("hybrid_weights", weight) for weight in a_list("hybrid_weights", hybrid_weights)]
        if not self.hybrid_weights or not all(0 <= weight <= 1 for weight in self.hybrid_weights):
            raise UserError(f"The hybrid weights {self.hybrid_weights} must be between 0 and 1, one or more of them.")
        one_of("evaluation.hybrid_normalisation", hybrid_normalisation, NORMALISATIONS)
        self.hybrid_normalisation = hybrid_normalisation
        self.hybrid_depth = chosen_hybrid_depth(hybrid_depth, self.depth, hybrid_normalisation, self.measures)
        self.searches = KeptSearches(dataset, lexical, index, encoding, self.store, self.depth)

    def require(self, dual_encoder: DualEncoder) -> None:
        """Refuse, before anything is encoded, an index that could not be made of a dual encoder's vectors.

        Raises:
            UserError: When the index does not fit the dimension or the number of documents.
        """
        self.index.require(len(self.split.documents), dual_encoder.dimension)

    def bm25(self, name: str = "bm25") -> dict[str, SystemResult]:
        """Score BM25; returns the system by its name."""
        seconds: dict[str, float] = {}
        with timed(seconds, "search"):
            hits, details = self.searches.bm25(self.split)
        return {name: self._scored(name, self.split, hits, details, seconds)}

    def encoder(
        self, dual_encoder: DualEncoder, dense: str = "dense", hybrid: str | None = "hybrid"
    ) -> dict[str, SystemResult]:
        """Score a dual encoder, alone and with BM25.

        Args:
            dual_encoder: Frozen; its vectors are read from the store where an earlier run has made them.
            dense: What to call the encoder alone.
            hybrid: What to call it with BM25; None leaves that out.

        Returns:
            The systems by their names.
        """
        seconds: dict[str, float] = {}
        documents, queries = self.searches.tables(dual_encoder, self.split, seconds)
        with timed(seconds, "index"):
            self.index.prepare(documents, self.store)
        with timed(seconds, "search"):
            hits, said = self.searches.dense(self.split, documents, queries)
        cut = {"truncated_documents": documents.truncated, "truncated_queries": queries.truncated}
        details = {"index": self.index.name, "precision": self.encoding.precision} | said
        details |= {name: count for name, count in cut.items() if count}
        systems = {dense: self._scored(dense, self.split, hits, details, seconds)}
        if hybrid is not None:
            systems[hybrid] = self._hybrid(hybrid, dual_encoder, documents, queries)
        return systems

    def results(self, systems: dict[str, SystemResult], notes: Sequence[str] = ()) -> Results:
        """Put the systems scored on this split together with what the split is.

        Args:
            systems: By their names.
            notes: What is to be said of the encoders, in sentences.
        """
        texts = self.split.queries.take(slice(None))
        return Results(
            dataset=self.dataset.name,
            split=self.split.name,
            queries=dict(zip(self.split.queries.ids(), texts, strict=True)),
            documents=len(self.split.documents),
            relevant_from=self.dataset.relevant_from,
            remove_self_hits=bool((self.dataset.self_hits(self.split) >= 0).any()),
            fingerprint=self.dataset.fingerprint,
            remarks=[*notes, *remarks(self.dataset, self.split)],
            systems=systems,
            groups=[
                (query, document, *group)
                for query, group in self.split.groups.items()
                for document in self.split.judgements[query]
            ],
        )

    def _hybrid(self, name: str, dual_encoder: DualEncoder, documents: Table, queries: Table) -> SystemResult:
        """Re-rank what BM25 found, with a weight that the scored split had no part in."""
        seconds: dict[str, float] = {}
        split = self._tuning_split
        tables = None if split is None else self.searches.tables(dual_encoder, split, {})

        def search() -> tuple[Hits, dict[str, Any]]:
            with timed(seconds, "tune"):
                details = self._weight(split, tables)
            with timed(seconds, "search"):
                hits, counts = self._reranked(documents, queries, details["lexical_weight"])
            return hits, details | counts

        tables_of = [(self.split, (documents, queries)), *([(split, tables)] if split and tables else [])]
        made_from = {
            "hybrid": [[self.searches.bm25_key(part), *(table.key for table in pair)] for part, pair in tables_of],
            "judgements": None if split is None else digest_of(split.judgements),
            "weights": self.hybrid_weights,
            "normalisation": self.hybrid_normalisation,
            "depths": [self.depth, self.hybrid_depth],
            "unwanted": [self.dataset.unwanted(part).tolist() for part, _ in tables_of],
            "objective": [self.measures[0].name, self._relevant_from],
        }
        hits, details = kept_hits(self.store, made_from, search)
        return self._scored(name, self.split, hits, details, seconds)

    def _reranked(self, documents: Table, queries: Table, weight: float) -> tuple[Hits, dict[str, int]]:
        """Interpolate what BM25 found, all of it or only until the best are known; count what was scored then."""
        lexical, _ = self.searches.bm25(self.split)
        precedence = self.split.documents.precedence
        if self.hybrid_depth is None:
            dense = dense_scores(documents.vectors, queries.vectors, lexical.positions)
            return interpolate(lexical, dense, weight, self.hybrid_normalisation, precedence), {}
        found = rerank(lexical, documents, queries.vectors, weight, self.hybrid_depth, precedence=precedence)
        counts = {"depth": self.hybrid_depth, "dense_scored": found.scored, "candidates": found.candidates}
        return found.hits, counts

    @property
    def _tuning_split(self) -> Split | None:
        """The validation split, where a weight has to be chosen, it is not the scored one, and it can tell weights apart."""
        if len(self.hybrid_weights) == 1 or TUNING_SPLIT not in self.dataset.splits or self.split.name == TUNING_SPLIT:
            return None
        split = self.dataset.split(TUNING_SPLIT)
        can_earn = highest_grade(split.judgements) >= self.measures[0].counts_from(self._relevant_from)
        return split if can_earn else None

    def _weight(self, split: Split | None, tables: tuple[Table, Table] | None) -> dict[str, Any]:
        """Tune the lexical weight on the validation split, if there is one to tune it on."""
        details = {"lexical_weight": UNTUNED_WEIGHT, "normalisation": self.hybrid_normalisation, "tuned_on": None}
        if len(self.hybrid_weights) == 1:
            return details | {"lexical_weight": self.hybrid_weights[0]}
        if split is None or tables is None:
            return details
        documents, queries = tables
        lexical, _ = self.searches.bm25(split)
        dense = dense_scores(documents.vectors, queries.vectors, lexical.positions)
        objective = self.measures[0]
        depth = objective.cutoff or lexical.positions.shape[1]

        def earned(hits: Hits) -> float:
            scores = measure(
                self._run("hybrid", split, hits.cut(depth)), split.judgements, [objective.name], self._relevant_from
            )
            return scores.means()[objective.name]

        weight, tried = tune_weight(
            lexical, dense, self.hybrid_weights, earned, self.hybrid_normalisation, split.documents.precedence
        )
        return details | {
            "lexical_weight": weight,
            "tuned_on": split.name,
            "tried": {f"{candidate:g}": value for candidate, value in tried.items()},
        }

    @property
    def _relevant_from(self) -> int:
        return self.dataset.relevant_from

    def _run(self, name: str, split: Split, hits: Hits) -> Run:
        return Run.from_hits(name, split.queries.ids(), split.documents, hits)

    def _scored(self, name: str, split: Split, hits: Hits, details: dict, seconds: dict[str, float]) -> SystemResult:
        run = self._run(name, split, hits)
        names = [item.name for item in self.measures]
        return SystemResult(run, measure(run, split.judgements, names, self._relevant_from), details, seconds)


def measure_retrieval(
    queries: np.ndarray, documents: np.ndarray, split: Split, measures: Sequence[str], dataset: Dataset, device: str
) -> dict[str, float]:
    """Measure exact retrieval on a split with vectors that lie in memory: for use in training.

    Args:
        queries: The vectors of the split's queries, float32 [queries, dimension].
        documents: The vectors of its documents, float32 [documents, dimension].
        split: Says which documents are relevant.
        measures: Names such as `ndcg@10`.
        dataset: What the split belongs to: says what is relevant and whether self-hits are removed.
        device: Where to search.

    Returns:
        The mean of each measure.
    """
    return score_retrieval(queries, Table.from_array(documents), split, measures, dataset, device).means()


def score_retrieval(
    queries: np.ndarray, documents: Table, split: Split, measures: Sequence[str], dataset: Dataset, device: str
) -> Scores:
    """Score exact retrieval on a split query by query.

    Args:
        queries: The vectors of the split's queries, float32 [queries, dimension].
        documents: The vectors of its documents.
        split: Says which documents are relevant.
        measures: Names such as `ndcg@10`.
        dataset: What the split belongs to: says what is relevant and whether self-hits are removed.
        device: Where to search.
    """
    depth = max(item.cutoff or DEPTH for item in parse_measures(measures))
    unwanted = dataset.unwanted(split)
    index = TorchIndex(device=device)
    index.build(documents)
    hits = index.search(queries, reach(depth, unwanted, split.documents), split.documents.precedence)
    run = Run.from_hits("dense", split.queries.ids(), split.documents, hits, unwanted=unwanted, depth=depth)
    return measure(run, split.judgements, measures, dataset.relevant_from)
