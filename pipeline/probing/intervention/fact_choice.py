"""Which facts of a split are edited, and which queries stand beside them as controls."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.facts import Fact, facts_of, require_queries, retrieved
from pipeline.probing.probe import Subject


@dataclass(frozen=True)
class FactChoice:
    """What is wanted of a split.

    Attributes:
        subject: Whose split.
        among: Ids of the queries that are looked at.
        count: How many facts.
        asked: Ids of queries whose facts are meant, whether they are retrieved or not; None: facts that are retrieved.
        control_queries: How many queries of no chosen fact.
    """

    subject: Subject
    among: frozenset[str]
    count: int
    asked: Sequence[str] | None
    control_queries: int

    def require(self) -> None:
        """Refuse, before anything is encoded, a split that cannot have so many facts and controls.

        Raises:
            UserError: Saying what there is.
        """
        split, name = self.subject.split, self.subject.dataset.name
        if not self.subject.dataset.positives(split):
            raise UserError(f"No query of the {split.name} split of {name} has a relevant document.")
        if self.asked is not None:
            require_queries(split, self.asked, "probe.queries")
        possible = self._possible()
        wanted = self.count if self.asked is None else 1
        if len(possible) < wanted:
            raise UserError(
                f"The {split.name} split of {name} has {len(possible)} documents that its queries ask for, fewer than"
                f" {wanted} facts; lower probe.facts, or choose other queries or a higher probe.limit."
            )
        self._controls(possible[:wanted] if self.asked is None else possible, [])

    def choose(self, retrievals: Sequence[EditedRetrieval]) -> tuple[list[Fact], list[str]]:
        """Choose facts and control queries.

        Args:
            retrievals: Of every model that is edited.

        Returns:
            The facts that were asked for, or the first that every model retrieves; and ids of queries that ask for none
            of them. Those stand first whose own facts are retrieved too: queries chosen because they are found can
            only become worse, and others that find nothing only better.

        Raises:
            UserError: When no fact is retrieved by every model.
        """
        facts = self._possible()
        if self.asked is not None:
            return facts, self._controls(facts, [])
        for retrieval in retrievals:
            facts = retrieved(facts, retrieval.first_results())
        if not facts:
            raise UserError(
                "No query finds a document that answers it among its first 10 results in every model; name queries by"
                " probe.queries, or choose other models."
            )
        return facts[: self.count], self._controls(facts[: self.count], facts)

    def _controls(self, facts: Sequence[Fact], first: Sequence[Fact]) -> list[str]:
        """Choose queries that ask for none of the facts, in an order that no order of a file changes.

        Raises:
            UserError: When there is none.
        """
        documents = {fact.document for fact in facts}
        everything = facts_of(self.subject.dataset, self.subject.split, self.among)
        taken = {query for fact in everything if fact.document in documents for query in fact.queries}
        free = dict.fromkeys(query for fact in [*first, *everything] for query in fact.queries if query not in taken)
        if not free:
            raise UserError(
                f"With {len(facts)} facts no query is left as a control; lower probe.facts or raise probe.limit."
            )
        return list(free)[: self.control_queries]

    def _possible(self) -> list[Fact]:
        return facts_of(self.subject.dataset, self.subject.split, self.among if self.asked is None else set(self.asked))
