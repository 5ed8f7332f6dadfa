"""What a linear probe is asked: which of N candidates answers the question."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.data.normal_form import normal_form
from pipeline.data.texts import Texts
from pipeline.errors import UserError

LEAST_QUESTIONS = 20
"""Fewer cannot be divided into training, validation and test."""
PUBLISHED_SEED = 42
PUBLISHED_NEGATIVES = 4


@dataclass(frozen=True)
class CandidateRows:
    """Rows, each a question, one document that answers it and some that do not.

    Attributes:
        questions: Position of the question among `query_texts`, int64 [rows].
        documents: Positions among `document_texts`, the positive first, int64 [rows, 1 + negatives].
        orders: By number of candidates N: which columns of `documents` are shown, in which order, int64 [rows, N].
        query_texts: The questions that are used.
        document_texts: The documents that are used.
        dropped: Rows left out for want of negatives.
        first_dropped: The id of the first question that lost a row; None: none did.
        pool: How many of the columns of `documents` after the first hold negatives that every epoch draws from anew,
            int64 [rows], and `orders` is empty; None: every epoch shows the same.
    """

    questions: np.ndarray
    documents: np.ndarray
    orders: Mapping[int, np.ndarray]
    query_texts: Texts
    document_texts: Texts
    dropped: int
    first_dropped: str | None
    pool: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def distinct_questions(self) -> np.ndarray:
        """Number the rows' questions, those alike that are equal but for white space and case, int64 [rows]."""
        first: dict[str, int] = {}
        texts = self.query_texts.take(slice(None))
        same = [first.setdefault(normal_form(text), place) for place, text in enumerate(texts)]
        return np.array(same, dtype=np.int64)[self.questions]


def sound_rows(
    dataset: Dataset, split: Split, chosen: np.ndarray, negatives: np.ndarray, candidates: Sequence[int], seed: int
) -> CandidateRows:
    """Make a row of each question and positive, with negatives drawn without replacement.

    The rows of all N have the same questions, and those of a smaller N show the first of the same negatives.

    Args:
        dataset: Whose relevance counts.
        split: Whose questions, documents and judgements.
        chosen: Positions of the questions that are used.
        negatives: Positions of each query's negatives in the corpus, -1 where there are fewer, [queries, depth].
        candidates: The numbers of candidates N.
        seed: Of the negatives and their order.

    Raises:
        UserError: When no row is left.
    """
    generator = np.random.default_rng(seed)
    needed = max(candidates) - 1
    kept, questions, without = [], [], []
    for question, positive in _pairs(dataset, split, chosen):
        pool = _pool(negatives, question)
        if len(pool) < needed:
            without.append(question)
            continue
        questions.append(question)
        kept.append([positive, *generator.choice(pool, needed, replace=False)])
    orders = {n: np.argsort(generator.random((len(kept), n)), axis=1) for n in candidates}
    return _rows(dataset, split, questions, kept, orders, without, needed)


def published_pools(dataset: Dataset, split: Split, chosen: np.ndarray, negatives: np.ndarray) -> CandidateRows:
    """Make the rows that the first paper trains and validates on: all of a question's negatives stand beside a positive.

    Which of them are shown, and in which order, every epoch draws anew; see `RowData.drawn`.

    Args:
        dataset: Whose relevance counts.
        split: Whose questions, documents and judgements.
        chosen: Positions of the questions that are used.
        negatives: Positions of each query's negatives in the corpus, -1 where there are fewer, [queries, depth].

    Raises:
        UserError: When no row is left.
    """
    kept, questions, sizes, without = [], [], [], []
    for question, positive in _pairs(dataset, split, chosen):
        pool = _pool(negatives, question).tolist()
        if not pool:
            without.append(question)
            continue
        questions.append(question)
        sizes.append(len(pool))
        kept.append([positive, *pool])
    most = 1 + max(sizes, default=0)
    filled = [row + row[:1] * (most - len(row)) for row in kept]
    return replace(_rows(dataset, split, questions, filled, {}, without, 1), pool=np.array(sizes))


def published_rows(
    dataset: Dataset, split: Split, chosen: np.ndarray, negatives: np.ndarray, candidates: Sequence[int], seed: int
) -> CandidateRows:
    """Make the rows that the first paper tests on: four negatives once for each, with replacement when there are fewer.

    Args:
        dataset: Whose relevance counts.
        split: Whose questions, documents and judgements.
        chosen: Positions of the questions that are used.
        negatives: Positions of each query's negatives in the corpus, -1 where there are fewer, [queries, depth].
        candidates: The numbers of candidates N, at most five.
        seed: The paper's is `PUBLISHED_SEED`.

    Raises:
        UserError: When no row is left.
    """
    generator = random.Random(seed)
    kept, questions, without = [], [], []
    for question, positive in _pairs(dataset, split, chosen):
        pool = _pool(negatives, question).tolist()
        if not pool:
            without.append(question)
            continue
        enough = len(pool) >= PUBLISHED_NEGATIVES
        drawn = (
            generator.sample(pool, PUBLISHED_NEGATIVES) if enough else generator.choices(pool, k=PUBLISHED_NEGATIVES)
        )
        questions.append(question)
        kept.append([positive, *drawn])
    orders = {n: published_order(len(kept), n, seed) for n in candidates}
    return _rows(dataset, split, questions, kept, orders, without, 1)


def published_order(rows: int, candidates: int, seed: int) -> np.ndarray:
    """Choose and shuffle the candidates of every row as the first paper's code did.

    Row after row from one generator: N-1 of the four negatives are sampled, then they and the positive
    are shuffled. With seed 42, over 54,414 and 10,448 rows this gives the published class counts of all N (what a probe that always
    says one class gets right: layer 0 of a model that is read at [CLS]).

    Args:
        rows: How many.
        candidates: N.
        seed: Of the draws.

    Returns:
        Column 0 is the positive and 1 to 4 are the negatives; int64 [rows, N].
    """
    generator = random.Random(seed)
    order = np.empty((rows, candidates), dtype=np.int64)
    for row in range(rows):
        shown = [0, *generator.sample(range(1, PUBLISHED_NEGATIVES + 1), candidates - 1)]
        generator.shuffle(shown)
        order[row] = shown
    return order


def divide(questions: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Divide rows by question, so that no question is on two sides.

    Args:
        questions: Of each row, [rows].
        shares: Of the questions; they add up to 1.
        seed: Of the division.

    Returns:
        Row numbers of each part, ascending.

    Raises:
        UserError: When there are too few questions.
    """
    unique = np.unique(questions)
    if len(unique) < LEAST_QUESTIONS:
        raise UserError(
            f"{len(unique)} questions are too few to train, validate and test probes; {LEAST_QUESTIONS} are the least:"
            " raise probe.limit or take a larger split."
        )
    shuffled = np.random.default_rng(seed).permutation(unique)
    ends = np.round(np.cumsum(shares)[:-1] * len(unique)).astype(int)
    return [np.flatnonzero(np.isin(questions, part)) for part in np.split(shuffled, ends)]


def _pairs(dataset: Dataset, split: Split, chosen: np.ndarray) -> list[tuple[int, int]]:
    """List positions of question and positive, in the split's order."""
    positives = dataset.positives(split)
    ids = split.queries.ids(chosen)
    return [
        (int(question), int(document))
        for question, identifier in zip(chosen, ids, strict=True)
        for document in split.documents.positions(positives.get(identifier, []))
        if document >= 0
    ]


def _pool(negatives: np.ndarray, question: int) -> np.ndarray:
    """Give the negatives of one question, each once."""
    found = np.unique(negatives[question])
    return found[found >= 0]


def _rows(
    dataset: Dataset,
    split: Split,
    questions: list[int],
    documents: list[list[int]],
    orders: Mapping[int, np.ndarray],
    without: list[int],
    needed: int,
) -> CandidateRows:
    """Number texts by what is used, and refuse to go on without any."""
    first = split.queries.ids([without[0]])[0] if without else None
    if not questions:
        reason = (
            f"all {len(without):,} rows lack the {needed} negatives that they need, the first for query {first};"
            " lower probe.candidates, or take negatives=bm25 with a larger depth"
            if without
            else "no query has a relevant document"
        )
        raise UserError(f"The {split.name} split of {dataset.name} gives nothing to probe: {reason}.")
    queries, question_of = np.unique(np.array(questions), return_inverse=True)
    used, document_of = np.unique(np.array(documents), return_inverse=True)
    return CandidateRows(
        question_of,
        document_of.reshape(len(documents), -1),
        orders,
        split.queries.select(queries),
        split.documents.select(used),
        len(without),
        first,
    )


def right_places(rows: CandidateRows) -> dict[int, np.ndarray]:
    """Say, by N, at which place of those shown the positive stands, int64 [rows]."""
    return {n: (order == 0).argmax(axis=1) for n, order in rows.orders.items()}


def documents_seen(rows: CandidateRows, candidates: int, training: np.ndarray, test: np.ndarray) -> float:
    """Give the share of test rows whose documents were all seen in training: only those can be known by heart.

    Args:
        rows: The rows.
        candidates: N, whose documents are shown.
        training: Row numbers.
        test: Row numbers.
    """
    shown = np.take_along_axis(rows.documents, rows.orders[candidates], axis=1)
    return float(np.isin(shown[test], shown[training]).all(axis=1).mean())
