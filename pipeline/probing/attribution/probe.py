"""The probe of neurons: integrated gradients over every feed-forward sub-layer (Yao, Wang and Zuccon 2025, section 2)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pipeline.checks import a_list, number, one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.encoders.feed_forward import feed_forwards
from pipeline.errors import UserError
from pipeline.probing.attribution.activity import Method, Pieces, count, shared
from pipeline.probing.attribution.quadrature import Riemann, quadrature_named
from pipeline.probing.attribution.report import report
from pipeline.probing.attribution.results import Compared
from pipeline.probing.attribution.targets import TARGETS
from pipeline.probing.attribution.texts import directions, negatives_of, relevant, unique_texts
from pipeline.probing.models import require_alike
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Subject

PUBLISHED_POINTS, POINTS = 20, 6
LEAST_TEXTS = 10
"""Fewer texts have no interval worth the name."""


class NeuronAttribution(Probe):
    """Which neurons a text's representation comes from, and what fine-tuning changed in that.

    Args:
        target: `norm`, `score` or `margin`.
        quadrature: `name`, `points` and `tolerance`; see `quadrature_named`.
        threshold: The part of a text's largest attribution from which on a neuron is active.
        thresholds: Others, to see whether conclusions hold.
        max_length: Tokens a text is cut to.
        limit: See `Probe`.
    """

    name: ClassVar[str] = "attribution"

    def __init__(
        self,
        target: str,
        quadrature: Mapping[str, Any],
        threshold: float,
        thresholds: Sequence[float],
        max_length: int,
        limit: int | None = None,
    ) -> None:
        super().__init__(limit)
        self.target = one_of("probe.target", target, TARGETS)
        usual = PUBLISHED_POINTS if quadrature["name"] == "riemann" else POINTS
        points = usual if quadrature["points"] is None else quadrature["points"]
        self.quadrature = quadrature_named(quadrature["name"], points, quadrature["tolerance"])
        self.threshold = _part("probe.threshold", threshold)
        others = {_part("probe.thresholds", other) for other in a_list("probe.thresholds", thresholds)}
        self.thresholds = sorted({self.threshold, *others})
        self.max_length = whole_number("probe.max_length", max_length)

    def method(self, subject: Subject) -> Method:
        """Say how texts are attributed under the protocol."""
        if subject.protocol == "published":
            return Method(Riemann(PUBLISHED_POINTS), "norm", self.thresholds, self.max_length)
        return Method(self.quadrature, self.target, self.thresholds, self.max_length)

    def prepare(self, subject: Subject) -> None:
        """Refuse unlike models, unknown blocks, too few texts, and a margin without negatives."""
        if len(subject.models) > 1:
            require_alike(subject.models, self.name)
        for model in subject.models.values():
            for kind in model.kinds:
                feed_forwards(model.tower(kind).backbone)
                model.tower(kind).tokenizer.cut_to(self.max_length)
        positives = relevant(subject, self.chosen_queries(subject.split))
        for kind in _kinds(subject):
            found = len(unique_texts(subject, positives, kind).positions)
            if found < LEAST_TEXTS:
                raise UserError(
                    f"probe=attribution needs {LEAST_TEXTS} texts of a kind, and the {len(positives):,} queries with a"
                    f" relevant document that were chosen from the {subject.split.name} split of {subject.dataset.name}"
                    f" come with {found} different {kind} texts; raise probe.limit or take another split."
                )
        if self.method(subject).target == "margin":
            negatives_of(subject, sorted(positives))

    def run(self, subject: Subject) -> Outcome:
        """Attribute every text once, count, and compare with the first model."""
        positives = relevant(subject, self.chosen_queries(subject.split))
        found = [self._of_kind(subject, positives, kind) for kind in _kinds(subject)]
        return report(found, self.method(subject), self.threshold, subject.protocol, subject.seed)

    def _of_kind(self, subject: Subject, positives: dict[int, Any], kind: Kind) -> Compared:
        """Look at queries or at documents."""
        texts, method = unique_texts(subject, positives, kind), self.method(subject)
        pieces = []
        for name, model in subject.models.items():
            along = None
            if method.target != "norm":
                along = directions(subject, model, texts, positives, method.target == "margin")
            pieces.append(Pieces(subject, name, kind, texts.read(subject, model), along, method))
            pieces[-1].compute()
        part = feed_forwards(pieces[0].tower.backbone)[0]
        sizes = {"inner": part.neurons, "outer": part.outer.out_features}
        activities = [count(piece, texts.rows, sizes) for piece in pieces]
        return Compared(kind, activities, [shared(pieces[0], other) for other in pieces[1:]])


def _kinds(subject: Subject) -> list[Kind]:
    """Whose texts the models, which are all of one side, were made for."""
    return next(iter(subject.models.values())).kinds


def _part(setting: str, value: Any) -> float:
    """Return a number between 0 and 1."""
    if number(setting, value) >= 1:
        raise UserError(f"{setting}={value} must be below 1: it is a part of the text's largest attribution.")
    return float(value)
