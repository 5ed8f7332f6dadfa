"""The probe of neurons: integrated gradients over every feed-forward sub-layer (Yao, Wang and Zuccon 2025, section 2)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pipeline.checks import a_list, number, one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.errors import UserError
from pipeline.probing.attribution.activity import Pieces, count, shared
from pipeline.probing.attribution.integrated_gradients import SUB_LAYERS
from pipeline.probing.attribution.method import Method, Settings, published_method, sound_method
from pipeline.probing.attribution.pooler import read_pooler
from pipeline.probing.attribution.quadrature import quadrature_named
from pipeline.probing.attribution.report import report
from pipeline.probing.attribution.results import Compared
from pipeline.probing.attribution.targets import TARGETS
from pipeline.probing.attribution.texts import answered, directions, negatives_of, relevant, unique_texts
from pipeline.probing.models import require_alike
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Protocol, Subject
from pipeline.retrieval.negatives import Given

LEAST_TEXTS = 10
"""Fewer texts have no interval worth the name."""


class NeuronAttribution(Probe):
    """Which neurons a text's representation comes from, and what fine-tuning changed in that.

    What is None is decided by the protocol, see `sound_method` and `published_method`.

    Args:
        target: `norm`, `pooler_norm`, `score` or `margin`.
        quadrature: `name`, `points`, `tolerance` and `most_points`; see `quadrature_named`.
        threshold: The part of a text's largest attribution from which on a neuron is active.
        thresholds: Others, to see whether conclusions hold.
        max_length: Tokens a text is cut to.
        limit: See `Probe`.
    """

    name: ClassVar[str] = "attribution"

    def __init__(
        self,
        target: str | None,
        quadrature: Mapping[str, Any],
        threshold: float | None,
        thresholds: Sequence[float],
        max_length: int | None,
        limit: int | None = None,
    ) -> None:
        super().__init__(limit)
        given = any(value is not None for value in quadrature.values())
        named = {**quadrature, "name": quadrature["name"] or "adaptive"}
        self.settings = Settings(
            None if target is None else one_of("probe.target", target, TARGETS),
            quadrature_named(**named) if given else None,
            None if threshold is None else _part("probe.threshold", threshold),
            [_part("probe.thresholds", other) for other in a_list("probe.thresholds", thresholds)],
            None if max_length is None else whole_number("probe.max_length", max_length),
        )

    def method(self, subject: Subject) -> Method:
        """Say how texts are attributed under the protocol."""
        make = published_method if subject.protocol == "published" else sound_method
        return make(self.settings, subject.models)

    def idle(self, protocol: Protocol) -> set[str]:
        """Name negatives where no margin is explained; as published, it counts only whether they are the dataset's own."""
        if protocol == "published":
            return {"lexical", "negatives.depth", "negatives.skip"}
        return set() if self.settings.target == "margin" else {"negatives"}

    def prepare(self, subject: Subject) -> None:
        """Refuse unlike models, unknown blocks, missing poolers, too few texts, and a margin without negatives."""
        if len(subject.models) > 1:
            require_alike(subject.models, self.name)
        for model in subject.models.values():
            for kind in model.kinds:
                feed_forwards(model.tower(kind).backbone)
        method = self.method(subject)
        for name, model in subject.models.items():
            for kind in model.kinds:
                model.tower(kind).tokenizer.cut_to(method.length(model.tower(kind)))
                if method.targets[name] == "pooler_norm":
                    read_pooler(model.tower(kind), name)
        positives = self._positives(subject)
        for kind in _kinds(subject):
            found = len(unique_texts(subject, positives, kind).positions)
            if found < LEAST_TEXTS:
                raise UserError(
                    f"probe=attribution needs {LEAST_TEXTS} texts of a kind, and the {len(positives):,} queries with a"
                    f" relevant document that were chosen from the {subject.split.name} split of {subject.dataset.name}"
                    f" come with {found} different {kind} texts; raise probe.limit or take another split."
                )
        if "margin" in method.targets.values():
            negatives_of(subject, sorted(positives))

    def run(self, subject: Subject) -> Outcome:
        """Attribute every text once, count, and compare with the first model."""
        positives, method = self._positives(subject), self.method(subject)
        found = [self._of_kind(subject, positives, kind, method) for kind in _kinds(subject)]
        return report(found, method, self._departures(subject) if method.published else [], subject.seed)

    def _positives(self, subject: Subject) -> dict[int, np.ndarray]:
        """Find the relevant documents of the chosen queries; as published, of those that came with hard negatives."""
        positives = relevant(subject, self.chosen_queries(subject.split))
        return answered(subject, positives) if subject.protocol == "published" else positives

    def _departures(self, subject: Subject) -> list[str]:
        """Say what about the texts is not as published."""
        said = []
        if self.limit is not None:
            said.append(f"at most {self.limit:,} queries are looked at (probe.limit)")
        if not isinstance(subject.negatives, Given):
            said.append("queries without hard negatives are not left out (give negatives=given)")
        return said

    def _of_kind(self, subject: Subject, positives: dict[int, np.ndarray], kind: Kind, method: Method) -> Compared:
        """Look at queries or at documents."""
        texts = unique_texts(subject, positives, kind)
        pieces = []
        for name, model in subject.models.items():
            along, target = None, method.targets[name]
            if target in ("score", "margin"):
                along = directions(subject, model, texts, positives, target == "margin")
            pieces.append(Pieces(subject, name, texts, along, method))
            pieces[-1].compute()
        part = feed_forwards(pieces[0].tower.backbone)[0]
        sizes = {name: len(part.weight(name)) for name in SUB_LAYERS}
        activities = [count(piece, sizes) for piece in pieces]
        return Compared(kind, activities, [shared(pieces[0], other) for other in pieces[1:]])


def _kinds(subject: Subject) -> list[Kind]:
    """Whose texts the models, which are all of one side, were made for."""
    return next(iter(subject.models.values())).kinds


def _part(setting: str, value: Any) -> float:
    """Return a number between 0 and 1."""
    if number(setting, value) >= 1:
        raise UserError(f"{setting}={value} must be below 1: it is a part of the text's largest attribution.")
    return float(value)
