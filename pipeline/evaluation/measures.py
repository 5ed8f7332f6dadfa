"""Measures of a run against judgements, through ranx, as trec_eval counts them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.checks import a_list
from pipeline.errors import UserError, nearest
from pipeline.evaluation.bpref import bpref
from pipeline.retrieval.run import Run

Judgements = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> grade."""

QUERIES_AT_ONCE = 1000
"""Bounds memory: a block of queries at 1,000 results takes 16 MB."""


@dataclass(frozen=True)
class MeasureKind:
    """What ranx calls a measure, and how it may be asked for.

    Attributes:
        function: The function's name in `ranx.metrics`, or one like those.
        graded: It uses grades as gains; others only ask whether a grade is relevant.
        cutoff: `optional`, `needed` (the measure divides by it) or `none`.
    """

    function: str | Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
    graded: bool = False
    cutoff: str = "optional"


KINDS = {
    "ndcg": MeasureKind("ndcg", graded=True),
    "ndcg_burges": MeasureKind("ndcg_burges", graded=True),
    "map": MeasureKind("average_precision"),
    "mrr": MeasureKind("reciprocal_rank"),
    "recall": MeasureKind("recall"),
    "hit_rate": MeasureKind("hit_rate"),
    "precision": MeasureKind("precision", cutoff="needed"),
    "r-precision": MeasureKind("r_precision", cutoff="none"),
    "bpref": MeasureKind(bpref, cutoff="none"),
}


@dataclass(frozen=True)
class Measure:
    """One measure as the user named it: a kind and a number of results that it looks at.

    Attributes:
        name: As written, such as `ndcg@10`.
        kind: What is counted.
        cutoff: How many results; 0 for all.
    """

    name: str
    kind: MeasureKind
    cutoff: int

    @classmethod
    def parse(cls, name: str) -> "Measure":
        """Read a measure's name.

        Raises:
            UserError: For an unknown kind, or a cutoff that is missing, not a positive number or not for this kind.
        """
        kind_name, at, cutoff = str(name).partition("@")
        kind = KINDS.get(kind_name)
        if kind is None:
            raise UserError(f"{name} is not a measure; {nearest(kind_name, KINDS)}")
        if at and not re.fullmatch(r"[1-9][0-9]*", cutoff):
            raise UserError(f"{name} is not a measure: after @ stands a number of results, as in {kind_name}@10.")
        if at and kind.cutoff == "none":
            raise UserError(f"{name} is not a measure: {kind_name} takes no number of results.")
        if not at and kind.cutoff == "needed":
            raise UserError(f"{name} is not a measure: it needs a number of results, as in {kind_name}@10.")
        return cls(str(name), kind, int(cutoff) if at else 0)

    def counts_from(self, relevant_from: int) -> int:
        """Give the smallest grade that earns something: a graded measure takes grades as gains, whatever is relevant."""
        return 1 if self.kind.graded else relevant_from


@dataclass(frozen=True)
class Scores:
    """What a run earned, query by query.

    Attributes:
        measures: Names, in the order asked for.
        query_ids: Every judged query.
        per_query: Measure -> one value for each query, float64 [queries].
        without_results: Judged queries that the run has no result for; they count 0.
        unjudged: Queries of the run that nobody judged; they count nowhere.
    """

    measures: list[str]
    query_ids: list[str]
    per_query: dict[str, np.ndarray] = field(repr=False)
    without_results: int = 0
    unjudged: int = 0

    def means(self) -> dict[str, float]:
        """Average each measure over all judged queries."""
        return {name: float(self.per_query[name].mean()) for name in self.measures}


def parse_measures(names: Sequence[str]) -> list[Measure]:
    """Read the names of several measures.

    Raises:
        UserError: For none, a name twice, or one that is not a measure.
    """
    names = [str(name) for name in a_list("measures", names)]
    if not names:
        raise UserError("No measure is asked for; give some, as in measures=[ndcg@10,map].")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"The measure {twice[0]} is asked for twice; name it once.")
    return [Measure.parse(name) for name in names]


def measure(run: Run, judgements: Judgements, measures: Sequence[str], relevant_from: int = 1) -> Scores:
    """Score a run.

    A judged query without results counts 0 and stays in the mean. Results are ranked by score and, where scores are
    equal, by document id, both descending: the order of trec_eval, so that figures are the same on every run.

    Args:
        run: Rankings with scores.
        judgements: Grades of documents by query.
        measures: Names such as `ndcg@10`, `map`, `mrr@10`, `recall@100`, `precision@5`, `hit_rate@20`.
        relevant_from: Smallest grade that binary measures count as relevant; graded ones use the grades as gains.

    Raises:
        UserError: For an unknown measure, or when no query of the run was judged.
    """
    parsed = parse_measures(measures)
    query_ids = list(judgements)
    judged = judgements.keys() & set(run.query_ids)
    if not judged:
        raise UserError(
            f"No query of the run {run.name} was judged: it has queries such as {_first(run.query_ids)}, "
            f"the judgements such as {_first(query_ids)}; check that both belong to the same collection."
        )
    blocks = [
        _score_block(run, judgements, query_ids[start : start + QUERIES_AT_ONCE], parsed, relevant_from)
        for start in range(0, len(query_ids), QUERIES_AT_ONCE)
    ]
    per_query = {item.name: np.concatenate([block[item.name] for block in blocks]) for item in parsed}
    return Scores(
        measures=[item.name for item in parsed],
        query_ids=query_ids,
        per_query=per_query,
        without_results=sum(not run.ranking(query_id) for query_id in query_ids),
        unjudged=len(run.query_ids) - len(judged),
    )


def highest_grade(judgements: Judgements) -> int:
    """Give the highest grade of all; 0 where there is none."""
    return max((grade for grades in judgements.values() for grade in grades.values()), default=0)


def require_relevant(
    judgements: Judgements, measures: Iterable[Measure], relevant_from: int, what: str, setting: str
) -> None:
    """Refuse judgements under which a measure could only be 0.

    Args:
        judgements: Grades of documents by query.
        measures: What is asked for.
        relevant_from: Smallest grade that counts as relevant.
        what: Whose judgements, for the error.
        setting: Where `relevant_from` is set.

    Raises:
        UserError: When no grade is high enough for some measure.
    """
    highest = highest_grade(judgements)
    for item in measures:
        least = item.counts_from(relevant_from)
        if highest < least:
            cure = f"lower {setting}={relevant_from}, or " if highest > 0 and not item.kind.graded else ""
            raise UserError(
                f"{what}: the highest grade is {highest} and {item.name} counts grades from {least}, so it would be 0 "
                f"whatever is found; {cure}give the right judgements."
            )


def _first(ids: Sequence[str]) -> str:
    return ", ".join(list(ids)[:3]) or "none"


def _score_block(
    run: Run, judgements: Judgements, query_ids: Sequence[str], measures: Sequence[Measure], relevant_from: int
) -> dict[str, np.ndarray]:
    import ranx.metrics  # late: ranx takes seconds to import

    judged, ranked = _tabulate(run, judgements, query_ids)
    scored = {}
    for item in measures:
        function = item.kind.function
        score = getattr(ranx.metrics, function) if isinstance(function, str) else function
        scored[item.name] = score(judged, ranked, item.cutoff, item.counts_from(relevant_from))
    return scored


def _tabulate(run: Run, judgements: Judgements, query_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Lay judgements and results out as ranx's functions read them: rows of (document number, value), best first.

    ranx hashes ids into numbers and sorts by score without a rule for ties; numbers given by us cannot collide, and
    rows in our order keep it. A query's documents are numbered by its judgements; unjudged results are -1. Short lists
    are filled with rows that match nothing.

    Returns:
        Judgements, shape [queries, most judged, 2], and results, shape [queries, most results, 2].
    """
    numbers = [
        {document: number for number, document in enumerate(_by_grade(judgements[query_id]))} for query_id in query_ids
    ]
    rankings = [run.ranking(query_id) for query_id in query_ids]
    judged = np.full((len(query_ids), max(1, max(map(len, numbers))), 2), -np.inf)
    ranked = np.full((len(query_ids), max(1, max(map(len, rankings))), 2), -1.0)
    ranked[:, :, 1] = np.arange(ranked.shape[1], 0, -1)
    for row, (query_id, number, ranking) in enumerate(zip(query_ids, numbers, rankings, strict=True)):
        judged[row, : len(number), 0] = range(len(number))
        judged[row, : len(number), 1] = [judgements[query_id][document] for document in number]
        ranked[row, : len(ranking), 0] = [number.get(document, -1) for document in ranking]
    return judged, ranked


def _by_grade(grades: Mapping[str, int]) -> list[str]:
    """Order judged documents by grade, highest first: ranx takes the ideal ranking from this order."""
    return sorted(grades, key=lambda document: -grades[document])
