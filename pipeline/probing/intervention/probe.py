"""Interventions: parts of a model are edited while it encodes, and retrieval says what was in them.

The third analysis of Reichman and Heck (Dense Passage Retrieval: Is it Retrieving?, 2024), with the knowledge neurons of
Dai et al. (2022), and controls that neither had: as many other neurons, and as many equally active ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.checks import a_list, number, one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.evaluation.measures import parse_measures
from pipeline.probing.intervention.cases import Case, Plan, case_of_fact, case_of_places
from pipeline.probing.intervention.changes import change_rows, changes_under
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.edits import ACTIONS, UNITS, Place, require_places, sizes_of
from pipeline.probing.intervention.fact_choice import FactChoice
from pipeline.probing.intervention.fact_neurons import FactNeurons
from pipeline.probing.intervention.facts import Fact
from pipeline.probing.intervention.report import Report
from pipeline.probing.intervention.twins import require_writable, write_twins
from pipeline.probing.models import SIDES, ProbedModel, require_alike
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Protocol, Subject
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
        self.measures = [measure.name for measure in parse_measures(a_list("probe.measures", measures))]
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

    def idle(self, protocol: Protocol) -> set[str]:
        """Name what chooses facts and neurons where these are given, and the factor of other actions."""
        found = super().idle(protocol)
        found |= set() if self.plan.action == "amplify" else {"probe.factor"}
        found |= set() if self.queries is None else {"probe.facts"}
        chosen = {f"probe.{name}" for name in ("neurons", "threshold", "share", "target")}
        return found if self.places is None else found | chosen

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
        self._choice(subject).require()

    def run(self, subject: Subject) -> Outcome:
        """Edit, measure, and write the twins where that is asked for."""
        source = next(iter(subject.models.values())) if self.plan.action == "patch" else None
        retrievals = [EditedRetrieval(subject, model, self.measures, source) for model in self._edited(subject)]
        facts, controls = self._choice(subject).choose(retrievals)
        report = Report(self.plan, self.measures, subject.split.name, next(iter(subject.models)))
        if self.queries is None and len(facts) < self.facts:
            report.note(f"Of the {self.facts} facts asked for, {len(facts)} could be had that every model retrieves.")
        for retrieval in retrievals:
            _ = retrieval.documents, retrieval.queries  # encoded first, where nothing else counts progress
            towers = self._towers(retrieval)
            cases = self._cases(facts, towers, retrieval)
            changes = changes_under(retrieval, cases, controls)
            report.add(retrieval.model.name, cases, len(facts), changes, change_rows(changes, self.measures))
            if self.write is not None:
                report.note(write_twins(self.write, retrieval, towers, cases, controls))
        return report.outcome()

    def _edited(self, subject: Subject) -> list[ProbedModel]:
        models = list(subject.models.values())
        return models[1:] if self.plan.action == "patch" else models

    def _choice(self, subject: Subject) -> FactChoice:
        among = frozenset(subject.split.queries.ids(self.chosen_queries(subject.split)))
        return FactChoice(subject, among, self.facts, self.queries, self.control_queries)

    def _towers(self, retrieval: EditedRetrieval) -> list[FactNeurons]:
        """Give the towers that are edited, one that encodes both kinds once."""
        model = retrieval.model
        if len(self.kinds) == 2 and model.tower("query") is not model.tower("document"):
            return [FactNeurons(retrieval, (kind,), self.target) for kind in self.kinds]
        return [FactNeurons(retrieval, self.kinds, self.target)]

    def _cases(self, facts: Sequence[Fact], towers: Sequence[FactNeurons], retrieval: EditedRetrieval) -> list[Case]:
        """Decide what is edited.

        Raises:
            UserError: When the texts of no fact have a neuron in common.
        """
        plan, model = replace(self.plan, seed=retrieval.subject.seed), retrieval.model.name
        if self.places is not None:
            return [case_of_places(facts, towers, self.places, plan)]
        cases: list[Case] = []
        with progress(f"Attributing to neurons of {model}", len(facts), "facts") as advance:
            for fact in facts:
                case = case_of_fact(fact, towers, plan)
                cases += [case] if case else []
                advance(1)
        if not cases:
            raise UserError(f"The texts about no fact have a neuron of {model} in common; lower probe.share.")
        return cases


def _places(entries: Any) -> tuple[Place, ...]:
    """Read a list of numbers, or of pairs."""
    entries = a_list("probe.places", entries)
    if not entries:
        raise UserError("probe.places is empty; name what is edited, or null for the neurons that are attributed.")
    return tuple(_place(entry) for entry in entries)


def _place(entry: Any) -> Place:
    numbers = [entry] if isinstance(entry, int) else a_list("probe.places: each", entry)
    return tuple(whole_number("probe.places: each number", part, least=0) for part in numbers)
