"""Interventions: parts of a model are edited while it encodes, and retrieval says what was in them.

The third analysis of Reichman and Heck (Dense Passage Retrieval: Is it Retrieving?, 2024), with the knowledge neurons of
Dai et al. (2022), and controls that neither had: as many other neurons, and as many equally active ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pipeline.checks import number, one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.evaluation.measures import parse_measures
from pipeline.probing.cases import Case, Plan, case_of_fact, case_of_places
from pipeline.probing.changes import Changes, change_rows, changes_under
from pipeline.probing.edited_retrieval import EditedRetrieval
from pipeline.probing.edits import ACTIONS, UNITS, Place, require_places, sizes_of
from pipeline.probing.fact_neurons import FactNeurons
from pipeline.probing.facts import Fact, facts_of, require_queries, retrieved
from pipeline.probing.intervention_report import Report
from pipeline.probing.models import SIDES, ProbedModel, require_alike
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Subject
from pipeline.probing.twins import require_writable, write_twins
from pipeline.progress import progress

TARGETS = ("score", "norm")


class Intervention(Probe):
    """Edit parts of every model, or with `patch` of every model but the first, and measure retrieval.

    Args:
        action: `suppress`, `amplify`, `erase` or `patch`.
        unit: `neurons`, `heads` or `layers`.
        places: Which, the same for all facts; None: for each fact the neurons attributed to it.
        side: Whose encoding is edited: `query`, `document` or `both`.
        facts: How many facts, each retrieved by every edited model.
        queries: Take the facts that these queries ask for, whether they are retrieved or not.
        neurons: At most so many for each fact.
        threshold: See `knowledge_neurons`.
        share: See `knowledge_neurons`.
        target: `score` or `norm`; see `FactNeurons`.
        factor: What `amplify` multiplies by.
        measures: Names such as `ndcg@10`.
        control_queries: How many queries of no edited fact are scored under every edit.
        control_seeds: How often each control is drawn.
        write: A folder for the erased model and its twins, for training; see `write_twins`.
        limit: See `Probe`.
    """

    name = "intervention"
    needs_pair: ClassVar[bool] = False

    def __init__(
        self,
        action: str,
        unit: str,
        places: Sequence[Any] | None,
        side: str,
        facts: int,
        queries: Sequence[str] | None,
        neurons: int,
        threshold: float,
        share: float,
        target: str,
        factor: float,
        measures: Sequence[str],
        control_queries: int,
        control_seeds: int,
        write: str | None,
        limit: int | None = None,
    ) -> None:
        super().__init__(limit)
        self.side = one_of("probe.side", side, SIDES)
        self.facts = whole_number("probe.facts", facts)
        self.queries = None if queries is None else [str(query) for query in queries]
        self.target = one_of("probe.target", target, TARGETS)
        self.measures = [measure.name for measure in parse_measures(list(measures))]
        self.control_queries = whole_number("probe.control_queries", control_queries)
        self.places = None if places is None else _places(places)
        self.write = None if write is None else Path(write)
        self.plan = Plan(
            one_of("probe.action", action, ACTIONS),  # type: ignore[arg-type]
            one_of("probe.unit", unit, UNITS),  # type: ignore[arg-type]
            number("probe.factor", factor),
            whole_number("probe.neurons", neurons),
            number("probe.threshold", threshold),
            number("probe.share", share, above=True),
            whole_number("probe.control_seeds", control_seeds),
            0,
        )
        if self.places is None and unit != "neurons":
            raise UserError(f"Attribution chooses neurons; say which {unit} are meant by probe.places=….")
        if self.write is not None:
            require_writable(self.write, self.plan)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is encoded by edited towers."""
        return ("query", "document") if self.side == "both" else (self.side,)  # type: ignore[return-value]

    def prepare(self, subject: Subject) -> None:
        """Refuse unlike pairs, parts that are not there, and splits without enough facts."""
        if self.plan.action == "patch":
            if len(subject.models) < 2:
                raise UserError("probe.action=patch takes activations from the first model; give two or more.")
            require_alike(subject.models, self.name)
        if self.write is not None and len(subject.models) != 1:
            raise UserError("probe.write writes the twins of one model; give that one alone.")
        for model in self._edited(subject):
            for kind in self.kinds:
                backbone = model.tower(kind).backbone
                sizes_of(backbone, self.plan.unit)
                require_places(backbone, self.plan.unit, self.places or [], "probe.places")
        self._require_facts(subject)

    def run(self, subject: Subject) -> Outcome:
        """Edit, measure, and write the twins where that is asked for."""
        self.plan = replace(self.plan, seed=subject.seed)
        source = next(iter(subject.models.values())) if self.plan.action == "patch" else None
        retrievals = [EditedRetrieval(subject, model, self.measures, source) for model in self._edited(subject)]
        facts = self._chosen(subject, retrievals)
        controls = self._controls(subject, facts)
        report = Report(self.plan, self.measures, subject.split.name, next(iter(subject.models)))
        for retrieval in retrievals:
            _ = retrieval.documents, retrieval.queries  # encoded first, where nothing else counts progress
            towers = self._towers(retrieval)
            cases = self._cases(facts, towers, retrieval.model.name)
            changes: Changes = changes_under(retrieval, cases, controls)
            report.add(retrieval.model.name, cases, len(facts), changes, change_rows(changes, self.measures))
            if self.write is not None:
                report.note(write_twins(self.write, retrieval, towers, cases, controls, subject.seed))
        return report.outcome()

    def _edited(self, subject: Subject) -> list[ProbedModel]:
        models = list(subject.models.values())
        return models[1:] if self.plan.action == "patch" else models

    def _possible(self, subject: Subject) -> list[Fact]:
        """List the facts that may be chosen."""
        asked = self.queries or subject.split.queries.ids(self.chosen_queries(subject.split))
        return facts_of(subject.dataset, subject.split, set(asked))

    def _require_facts(self, subject: Subject) -> None:
        split = subject.split
        if not subject.dataset.positives(split):
            raise UserError(f"No query of the {split.name} split of {subject.dataset.name} has a relevant document.")
        if self.queries is not None:
            require_queries(split, self.queries, "probe.queries")
        possible = self._possible(subject)
        wanted = 1 if self.queries is not None else self.facts
        if len(possible) < wanted:
            raise UserError(
                f"The {split.name} split of {subject.dataset.name} has {len(possible)} documents that its queries ask"
                f" for, fewer than {wanted} facts; lower probe.facts, or choose other queries or a higher probe.limit."
            )
        chosen = possible if self.queries is not None else possible[:wanted]
        if not self._controls(subject, chosen):
            raise UserError(
                f"With {len(chosen)} facts no query is left as a control; lower probe.facts or raise probe.limit."
            )

    def _chosen(self, subject: Subject, retrievals: Sequence[EditedRetrieval]) -> list[Fact]:
        """Choose facts: those that were asked for, or the first that every model retrieves.

        Raises:
            UserError: When no fact is retrieved, or no query is left as a control.
        """
        facts = self._possible(subject)
        if self.queries is None:
            for retrieval in retrievals:
                facts = retrieved(facts, retrieval.first_results())
            if not facts:
                raise UserError(
                    "No document is among the first 10 results, of every model, of a query that asks for it; name queries by probe.queries, or choose other models."
                )
            facts = facts[: self.facts]
        if not self._controls(subject, facts):
            raise UserError(f"With {len(facts)} facts no query is left as a control; lower probe.facts.")
        return facts

    def _controls(self, subject: Subject, facts: Sequence[Fact]) -> list[str]:
        """Choose queries that ask for none of the facts, in an order that no order of a file changes."""
        documents = {fact.document for fact in facts}
        others = facts_of(
            subject.dataset, subject.split, set(subject.split.queries.ids(self.chosen_queries(subject.split)))
        )
        taken = {query for fact in others if fact.document in documents for query in fact.queries}
        taken |= {query for fact in facts for query in fact.queries}
        free = dict.fromkeys(query for fact in others for query in fact.queries if query not in taken)
        return list(free)[: self.control_queries]

    def _towers(self, retrieval: EditedRetrieval) -> list[FactNeurons]:
        """Give the towers that are edited, one that encodes both kinds once."""
        model = retrieval.model
        if len(self.kinds) == 2 and model.tower("query") is not model.tower("document"):
            return [FactNeurons(retrieval, (kind,), self.target) for kind in self.kinds]
        return [FactNeurons(retrieval, self.kinds, self.target)]

    def _cases(self, facts: Sequence[Fact], towers: Sequence[FactNeurons], model: str) -> list[Case]:
        """Decide what is edited.

        Raises:
            UserError: When the texts of no fact have a neuron in common.
        """
        if self.places is not None:
            return [case_of_places(facts, towers, self.places, self.plan)]
        cases: list[Case] = []
        with progress(f"Attributing to neurons of {model}", len(facts), "facts") as advance:
            for fact in facts:
                cases += [case] if (case := case_of_fact(fact, towers, self.plan)) else []
                advance(1)
        if not cases:
            raise UserError(f"The texts about no fact have a neuron of {model} in common; lower probe.share.")
        return cases


def _places(entries: Sequence[Any]) -> tuple[Place, ...]:
    """Read a list of numbers, or of pairs."""
    if not entries:
        raise UserError("probe.places is empty; name what is edited, or null for the neurons that are attributed.")
    return tuple((entry,) if isinstance(entry, int) else tuple(entry) for entry in entries)
