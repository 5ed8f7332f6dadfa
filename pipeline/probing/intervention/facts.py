"""Facts: a document of a split together with the queries that it answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.data.dataset import Dataset, Split
from pipeline.errors import UserError
from pipeline.files import digest_of


@dataclass(frozen=True)
class Fact:
    """What a document says, and who asks for it.

    Attributes:
        document: Its id.
        queries: Ids of the queries that it answers, in the split's order.
    """

    document: str
    queries: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The queries that attribution sees: the first half, at least one.

        Neurons that hold a fact matter to other words for it too; neurons of a query's own words do not.
        """
        return self.queries[: (len(self.queries) + 1) // 2]


def facts_of(dataset: Dataset, split: Split, among: Collection[str]) -> list[Fact]:
    """Find every fact that some queries ask for.

    Args:
        dataset: Says what is relevant.
        split: Whose documents and judgements.
        among: Ids of the queries that are looked at.

    Returns:
        In an order that no order of a file changes: by the hashes of the documents' ids.
    """
    asked: dict[str, list[str]] = {}
    for query, documents in dataset.positives(split).items():
        if query in among:
            for document in documents:
                asked.setdefault(document, []).append(query)
    return [Fact(document, tuple(asked[document])) for document in sorted(asked, key=digest_of)]


def require_queries(split: Split, queries: Sequence[str], setting: str) -> None:
    """Refuse queries that a split does not have.

    Raises:
        UserError: Naming the first of them.
    """
    known = set(split.queries.ids())
    for query in queries:
        if query not in known:
            raise UserError(
                f"{setting} names the query {query}, which the {split.name} split does not have; its first queries are"
                f" {', '.join(split.queries.ids()[:3])}."
            )


def retrieved(facts: Sequence[Fact], found: Mapping[str, Collection[str]]) -> list[Fact]:
    """Keep the facts that at least one of their queries finds.

    Args:
        facts: Any.
        found: From query id to the ids of its first results.
    """
    return [fact for fact in facts if any(fact.document in found[query] for query in fact.queries)]
