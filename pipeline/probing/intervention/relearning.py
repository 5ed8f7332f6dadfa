"""Relearning: facts were erased from a model before it was fine-tuned; are they retrievable again?

Reichman and Heck (2024) claim that what is not in the pre-trained model stays unretrievable. Here the twins that
`write_twins` made are compared before and after the same fine-tuning: the model without the neurons of some facts, the
model without as many others, and the model as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.checks import a_list
from pipeline.data.texts import Texts
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.errors import UserError
from pipeline.evaluation.measures import parse_measures
from pipeline.files import digest_of_file, read_json
from pipeline.probing.intervention.changes import AFFECTED, CONTROL, Change, Changes, change_rows
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.facts import Fact, require_queries
from pipeline.probing.intervention.relearning_report import BEFORE, FINE_TUNED, relearning_outcome
from pipeline.probing.models import ProbedModel
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Protocol, Subject


@dataclass(frozen=True)
class Groups:
    """What `groups.json` says.

    Attributes:
        facts: Those that were erased.
        control: Ids of queries of no erased fact.
    """

    facts: tuple[Fact, ...]
    control: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Groups":
        """Read what `write_twins` wrote.

        Raises:
            UserError: When the file is missing or says something else.
        """
        entry = read_json(path)
        try:
            facts = tuple(Fact(str(fact["document"]), tuple(map(str, fact["queries"]))) for fact in entry["facts"])
            control = tuple(map(str, entry["control"]))
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path} does not say which facts were erased; give the groups.json that probe=intervention wrote."
            ) from error
        if not any(fact.queries for fact in facts) or not control:
            raise UserError(f"{path} names no affected or no control queries; write the twins again.")
        return cls(facts, control)

    @property
    def affected(self) -> list[tuple[str, str]]:
        """Query and document of every fact."""
        return [(query, fact.document) for fact in self.facts for query in fact.queries]


class Relearning(Probe):
    """Compare fine-tuned twins on the queries of erased facts and on others: with the first, and the second with the rest.

    Give them as unedited, erased, random.

    Beside `groups.json` lie the twins as they were before fine-tuning; those of the models' names are measured too.

    Args:
        groups: The file `groups.json`.
        measures: Names such as `ndcg@10`.
    """

    name = "relearning"

    def __init__(self, groups: str, measures: list[str]) -> None:
        super().__init__(None)
        self.path = Path(groups)
        self.measures = [measure.name for measure in parse_measures(a_list("probe.measures", measures))]

    def idle(self, protocol: Protocol) -> set[str]:
        """Name the seed too: nothing is drawn."""
        return super().idle(protocol) | {"seed"}

    def prepare(self, subject: Subject) -> None:
        """Refuse groups that do not belong to the split, and a single model."""
        groups = Groups.read(self.path)
        setting = f"probe.groups={self.path}"
        require_queries(subject.split, [*(query for query, _ in groups.affected), *groups.control], setting)
        if len(subject.models) < 2:
            raise UserError("probe=relearning compares twins; give two or more models, the unedited one first.")

    def inputs(self, subject: Subject) -> dict[str, str]:
        """Fingerprint the erased facts and the twins before fine-tuning too."""
        twins = {
            f"{kind} tower of {model.name}": model.encoder.tower(kind).fingerprint(kind)
            for model in self._untrained(subject).values()
            for kind in model.kinds
        }
        return super().inputs(subject) | {"file of erased facts": digest_of_file(self.path)} | twins

    def run(self, subject: Subject) -> Outcome:
        """Measure all twins, before where they are there, and after."""
        groups = Groups.read(self.path)
        before = self._untrained(subject)
        changes = {BEFORE: self._compared(subject, before, groups)} if len(before) > 1 else {}
        changes[FINE_TUNED] = self._compared(subject, subject.models, groups)
        rows = {time: change_rows(compared, self.measures) for time, compared in changes.items()}
        return relearning_outcome(rows, self.measures, next(iter(subject.models)), _trained_on(subject, groups))

    def _untrained(self, subject: Subject) -> dict[str, ProbedModel]:
        """Open the twins before fine-tuning; none when the first of them is not there."""
        names = list(subject.models)
        folders = {name: self.path.parent / name for name in names if (self.path.parent / name).is_dir()}
        if names[0] not in folders:
            return {}
        return {name: ProbedModel(f"{name}, before", DualEncoder.load(folder)) for name, folder in folders.items()}

    def _compared(self, subject: Subject, models: Mapping[str, ProbedModel], groups: Groups) -> Changes:
        """Compare every model with the first, query by query."""
        scores = {name: self._scores(subject, model, groups) for name, model in models.items()}
        first = next(iter(scores))
        numbers = {fact.document: place for place, fact in enumerate(groups.facts)}
        ids = {AFFECTED: [query for query, _ in groups.affected], CONTROL: list(groups.control)}
        clusters = {
            AFFECTED: np.array([numbers[document] for _, document in groups.affected]),
            CONTROL: np.arange(len(groups.control)),
        }
        return {
            (name, group): Change(scores[first][group], scores[name][group], ids[group], clusters[group])
            for name in scores
            if name != first
            for group in ids
        }

    def _scores(self, subject: Subject, model: ProbedModel, groups: Groups) -> dict[str, np.ndarray]:
        """Score the queries of each group, float64 [queries, measures]."""
        retrieval = EditedRetrieval(subject, model, self.measures, None)
        positions = subject.split.queries.positions
        return {
            AFFECTED: retrieval.unedited(positions([query for query, _ in groups.affected])),
            CONTROL: retrieval.unedited(positions(groups.control)),
        }


def _trained_on(subject: Subject, groups: Groups) -> str:
    """Say what the dataset's training split has of the erased facts."""
    split, training = subject.split, subject.dataset.splits.get("train")
    affected = {query for query, _ in groups.affected}
    if training is None:
        return (
            f"{subject.dataset.name} has no training split; say beside these figures what the models were trained on."
        )
    if training is split:
        return "The facts are of the training split itself: fine-tuning may have been told the very answers."
    asked = set(split.queries.take(split.queries.positions(sorted(affected))))
    repeated = len(asked & _all(training.queries))
    documents = set(split.documents.take(split.documents.positions([fact.document for fact in groups.facts])))
    positives = {document for of in subject.dataset.positives(training).values() for document in of}
    known = set(training.documents.take(training.documents.positions(sorted(positives))))
    return (
        f"The {len(affected)} affected queries are of the {split.name} split; {repeated} of them stand word for word in"
        f" the training split of {subject.dataset.name}, and {len(documents & known)} of the {len(groups.facts)} erased"
        " facts' documents answer some training query there."
    )


def _all(texts: Texts) -> set[str]:
    return set(texts.take(slice(None)))
