"""The geometry of layers: how alike a base and tuned models are, how their states are spread, how far weights moved."""

from collections.abc import Mapping

import numpy as np

from pipeline.checks import whole_number
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.probing.geometry.drift import drifts_of
from pipeline.probing.geometry.findings import findings, not_aligned, summary
from pipeline.probing.geometry.layers import Figures, alignments, changes_of_spread, likeness, spread
from pipeline.probing.geometry.pictures import pictures
from pipeline.probing.jackknife import GROUPS
from pipeline.probing.judged import Judged, judged
from pipeline.probing.models import differences
from pipeline.probing.outcome import Outcome, Row
from pipeline.probing.probe import Probe, Subject
from pipeline.probing.units import same_weights

LEAST_TEXTS = 2 * GROUPS
"""An interval needs two texts in each group."""


class Geometry(Probe):
    """CKA, RSA, spread and drift between the first model and each other one.

    Models need not be alike: of unlike depth, each layer of the first is compared with the layer at the same share of the
    other's depth; weights are compared only where they have the same names and shapes.

    Args:
        sample: Texts that are compared pair by pair (RSA, uniformity) and whose spread is measured; CKA takes all.
        limit: Queries looked at, chosen by the hashes of their ids, with a document that answers each; None: all.
    """

    name = "geometry"
    reads_layers = True

    def __init__(self, sample: int, limit: int | None = None) -> None:
        super().__init__(limit)
        self.sample = whole_number("probe.sample", sample, least=LEAST_TEXTS)

    def prepare(self, subject: Subject) -> None:
        """Refuse fewer than two models, models for other texts, and too few texts."""
        (first, base), *others = subject.models.items()
        if not others:
            raise UserError(f"probe={self.name} compares models; give two or more, the base first.")
        for name, other in others:
            if base.side != other.side:
                raise UserError(
                    f"probe={self.name} compares what models say of the same texts, and {first} has the side {base.side}"
                    f" where {name} has {other.side}; give both the same side."
                )
        chosen = judged(self, subject, LEAST_TEXTS)
        for kind, texts in self._texts(subject, chosen).items():
            if len(texts) < LEAST_TEXTS:
                raise UserError(
                    f"probe={self.name} needs {LEAST_TEXTS} texts of a kind, and {len(chosen.queries):,} queries come with"
                    f" {len(texts):,} {kind}s; raise probe.limit or choose another split."
                )

    def run(self, subject: Subject) -> Outcome:
        """Compare layer by layer, then weight by weight."""
        chosen = judged(self, subject, LEAST_TEXTS)
        texts = self._texts(subject, chosen)
        samples = {kind: self._drawn(len(those), subject.seed) for kind, those in texts.items()}
        first, *others = subject.models
        alike: list[Row] = []
        spreads: list[Row] = []
        near: list[Row] = []
        unaligned: list[str] = []
        figures: Figures = {}
        for model in subject.models:
            states = {kind: subject.states(model, those, kind) for kind, those in texts.items()}
            for kind, of in states.items():
                spreads += spread(of, model, kind, samples[kind], subject.store, figures)
                if model != first:
                    base = subject.states(first, texts[kind], kind)
                    alike += likeness(base, of, model, kind, samples[kind], subject.store, figures)
            if len(states) == 2 and states["query"].width != states["document"].width:
                unaligned.append(not_aligned(model, states["query"].width, states["document"].width))
            elif len(states) == 2:
                pairs = self._pairs(chosen, samples["query"])
                near += alignments(states["query"], states["document"], model, pairs, figures)
        alike = [{**row, **changes_of_spread(first, row, figures)} for row in alike]
        drifts = [row for other in others for row in self._drifts(subject, first, other)]
        unlike = {other: self._unlike(subject, first, other) for other in others}
        return Outcome(
            summary=summary(first, alike, spreads),
            tables={
                name: rows
                for name, rows in (("similarity", alike), ("spread", spreads), ("alignment", near), ("drift", drifts))
                if rows
            },
            findings=[*findings(first, alike, spreads, near, drifts, unlike, figures), *unaligned],
            pictures=pictures(first, alike, spreads, drifts),
        )

    def _texts(self, subject: Subject, chosen: Judged) -> dict[Kind, Texts]:
        """Give the texts that the models were made for: queries, documents that answer them, or both."""
        documents = np.unique(chosen.positives)
        texts: dict[Kind, Texts] = {"query": chosen.queries, "document": subject.split.documents.select(documents)}
        return {kind: texts[kind] for kind in next(iter(subject.models.values())).kinds}

    def _drawn(self, texts: int, seed: int) -> np.ndarray:
        """Draw positions of texts, ascending, without repetition."""
        return np.sort(np.random.default_rng(seed).permutation(texts)[: self.sample])

    def _pairs(self, chosen: Judged, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give positions of sampled queries, and of what answers each among the documents that are looked at."""
        return sample, np.searchsorted(np.unique(chosen.positives), chosen.positives[sample])

    def _drifts(self, subject: Subject, first: str, other: str) -> list[Row]:
        """Compare weights, tower by tower, where they can be compared; one tower for both sides only once."""
        models = subject.models[first], subject.models[other]
        towers: dict[tuple[int, int], list[str]] = {}
        for kind in models[0].kinds:
            pair = tuple(id(model.tower(kind)) for model in models)
            towers.setdefault(pair, []).append(kind)  # type: ignore[arg-type]
        rows: list[Row] = []
        for kinds in towers.values():
            base, tuned = (model.tower(kinds[0]) for model in models)  # type: ignore[arg-type]
            if same_weights(base.backbone, tuned.backbone):
                named: Mapping[str, str] = {"model": other, "tower": " and ".join(kinds)}
                rows += [{**named, **row} for row in drifts_of(base, tuned, other, subject.store)]
        return rows

    def _unlike(self, subject: Subject, first: str, other: str) -> str | None:
        """Say in what two models differ, where that is why weights are not compared."""
        models = subject.models[first], subject.models[other]
        if all(same_weights(*(model.tower(kind).backbone for model in models)) for kind in models[0].kinds):
            return None
        unlike = differences(*models)
        return "{}: {} and {}".format(*unlike[0]) if unlike else "the names or shapes of their weights"
