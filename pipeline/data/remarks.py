"""What must be said of a dataset beside its figures: what was left out, merged, removed or is there twice."""

from collections.abc import Mapping
from typing import Any

from pipeline.data.dataset import Dataset, Split
from pipeline.data.self_hits import overlapping

COUNTS = {
    "empty_documents": "documents without text, never found",
    "decoded_twice": "documents with letters that look decoded twice, read as they are",
    "repeated_documents": "repeated documents, read once",
    "unlike_documents_of_one_id": "of them with another text, of which the first stands",
    "repeated_queries": "repeated queries, read once",
    "repeated_judgements": "repeated judgements, read once",
    "judged_but_absent": "judgements of documents that are not in the corpus, which count and are never found",
    "judgements_of_unknown_topics": "judgements of queries that are not there, left out",
    "ids_as_floats": "judgements whose ids are numbers with or without the .0 of a data frame, unlike the texts' ids",
    "absent_hard_negatives": "hard negatives of queries or documents that are not there, left out",
    "changed_judgements": "judgements that a later one changes",
    "unjudged_queries": "queries that nobody judged, left out",
    "questions_without_positive": "questions without a relevant document, left out",
    "unanswerable_questions": "questions without an answer, left out",
    "paragraphs_asked_about_in_two_splits": "paragraphs that questions of two splits ask about",
}
"""What a dataset's notes may count, and how a table says it."""


def remarks(dataset: Dataset, split: Split) -> list[str]:
    """Say of a dataset, in sentences, what bears on the figures of a split."""
    found = [
        *dataset.notes.get("remarks", []),
        *_limit(dataset.notes),
        *_counts(dataset.notes),
        *_leaks(dataset.notes, split.name),
    ]
    return [
        *found,
        *_self_hits(dataset, split),
        *_excluded(dataset, split),
        *without_relevant(split.judgements, dataset.relevant_from),
        *_unreachable(dataset, split),
    ]


def _limit(notes: dict[str, Any]) -> list[str]:
    if "limit" not in notes:
        return []
    return [f"Only {notes['limit']:,} queries and so many documents beside the judged ones (dataset.limit)."]


def _counts(notes: dict[str, Any]) -> list[str]:
    """Say what was counted when the whole dataset was read."""
    counted = [f"{words}: {notes[name]:,}" for name, words in COUNTS.items() if notes.get(name)]
    return [f"Of the whole dataset, {'; '.join(counted)}."] if counted else []


def _leaks(notes: dict[str, Any], split: str) -> list[str]:
    """Say how many of a split's queries some other split has too."""
    return [
        f"Queries of {later} that are queries of {earlier} too, by their ids or texts: {count:,}."
        for later, others in notes.get("queries_also_in", {}).items()
        for earlier, count in others.items()
        if split in (earlier, later)
    ]


def _unreachable(dataset: Dataset, split: Split) -> list[str]:
    """Say how many queries have relevant documents, none of which is in the corpus."""
    said = []
    for part in {"train": dataset.splits.get("train", split), split.name: split}.values():
        reachable = dataset.positives(part)
        hopeless = sum(
            query not in reachable and any(grade >= dataset.relevant_from for grade in grades.values())
            for query, grades in (part.judgements.items() if part.absent else ())
        )
        if hopeless:
            what = "train nothing" if part.name == "train" else f"count 0{_where(dataset.relevant_from)}"
            said.append(f"Queries of {part.name} whose relevant documents are all absent, which {what}: {hopeless:,}.")
    return said


def _self_hits(dataset: Dataset, split: Split) -> list[str]:
    """Say what becomes of documents that have the id of a query."""
    shared = overlapping(split.queries, split.documents)
    removed = int((dataset.self_hits(split) >= 0).sum())
    rule = "id and text" if dataset.remove_self_hits is None else "id, as in BEIR's own evaluation,"
    found = []
    if removed:
        found.append(
            f"A document with the query's own {rule} is left out of its results; queries that have one: {removed:,}."
        )
    if unreachable := _judged_and_removed(dataset, split):
        found.append(f"Queries whose own document is left out though it is judged relevant to them: {unreachable:,}.")
    if shared > removed:
        found.append(f"Queries with the id of a document that stays in their results: {shared - removed:,}.")
    return found


def _excluded(dataset: Dataset, split: Split) -> list[str]:
    """Say how many documents the dataset itself leaves out of results."""
    there = dict(zip(split.queries.ids(), (dataset.unwanted(split)[:, 1:] >= 0).sum(axis=1).tolist(), strict=True))
    count = sum(there.values())
    if not count:
        return []
    queries = sum(of > 0 for of in there.values())
    found = [
        f"Documents that the dataset excludes from a query's results (excluded_ids): {count:,}, for {queries:,} queries."
    ]
    judged = sum(
        split.judgements[query].get(document, 0) >= dataset.relevant_from
        for query, documents in split.excluded.items()
        for document in documents
    )
    return [*found, *([f"Of them judged relevant to the query: {judged:,}."] if judged else [])]


def _judged_and_removed(dataset: Dataset, split: Split) -> int:
    """Count the queries that cannot find a relevant document, as it has their own id."""
    ids = [name for name, place in zip(split.queries.ids(), dataset.self_hits(split), strict=True) if place >= 0]
    return sum(split.judgements.get(name, {}).get(name, 0) >= dataset.relevant_from for name in ids)


def without_relevant(judgements: Mapping[str, Mapping[str, int]], relevant_from: int) -> list[str]:
    """Say how many queries can earn nothing, if any."""
    without = sum(all(grade < relevant_from for grade in grades.values()) for grades in judgements.values())
    if not without:
        return []
    where = _where(relevant_from)
    return [f"Queries without a document of grade {relevant_from} or more, which count 0{where}: {without:,}."]


def _where(relevant_from: int) -> str:
    return " in all but graded measures" if relevant_from > 1 else ""
