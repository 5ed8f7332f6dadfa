"""Which layers carry the gain: layers of the tuned model exchanged for the base's, and interpolation, in retrieval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.checks import a_list, whole_number
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.evaluation.measures import parse_measures
from pipeline.probing.judged import judged
from pipeline.probing.kept import Arrays, kept
from pipeline.probing.models import ProbedModel
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Subject
from pipeline.probing.swap.findings import findings, summary
from pipeline.probing.swap.pictures import pictures
from pipeline.probing.swap.shares import Exchange, exchange
from pipeline.probing.swap.texts import Search, search_of, vectors
from pipeline.probing.swap.variants import Mixture, Variant, ends_with_weights, variants, weights_of
from pipeline.progress import progress

LEAST_QUERIES = 10
"""Fewer queries have no interval worth the name."""


class Swap(Probe):
    """Takes units of the tuned model from the base, and weights in between, and measures retrieval exactly.

    Units are the embeddings, each layer, and what comes after the layers where there are weights. A variant is known by
    its weights: those that were measured before are found again, also after a kill.

    Args:
        measures: Such as `ndcg@10`; shares of the gain are of the first.
        documents: How many documents are searched: those judged for the queries, and others drawn from the seed; None:
            all of the split.
        steps: Equal steps of the interpolation from the base to the tuned model.
        limit: Queries asked, chosen by the hashes of their ids; None: all.
    """

    name = "swap"
    needs_pair = True

    def __init__(self, measures: Sequence[str], documents: int | None, steps: int, limit: int | None = None) -> None:
        super().__init__(limit)
        self.measures = [item.name for item in parse_measures(a_list("probe.measures", measures))]
        self.documents = None if documents is None else whole_number("probe.documents", documents, least=2)
        self.steps = whole_number("probe.steps", steps, least=2)

    def prepare(self, subject: Subject) -> None:
        """Refuse models of one side, models that read texts or end unlike, and too few queries."""
        (first, base), *others = subject.models.items()
        for name, model in subject.models.items():
            if model.side != "both":
                raise UserError(
                    f"probe=swap measures retrieval, which needs a tower for queries and one for documents, and {name} has"
                    f" the side {model.side}; give side=both (for DPR: pair=dpr_paired)."
                )
        for name, other in others:
            for what, mine, theirs in _unlike_ends(base, other):
                raise UserError(
                    f"probe=swap exchanges layers, and what {first} and {name} do around them differs: the {what} is {mine}"
                    f" and {theirs}; give both the same by models.{first} and models.{name}."
                )
        judged(self, subject, LEAST_QUERIES)

    def run(self, subject: Subject) -> Outcome:
        """Measure every variant between the base and each other model."""
        chosen = judged(self, subject, LEAST_QUERIES)
        search = search_of(subject, chosen, self.documents, self.measures)
        first, *others = subject.models
        exchanges = [self._exchange(subject, first, other, search) for other in others]
        return Outcome(
            summary=[row for one in exchanges for row in summary(one)],
            tables={"variants": [row for one in exchanges for row in one.rows()]},
            findings=findings(exchanges, search, len(subject.split.documents)),
            pictures={name: drawn for one in exchanges for name, drawn in pictures(one, len(exchanges) > 1).items()},
        )

    def _exchange(self, subject: Subject, first: str, other: str, search: Search) -> Exchange:
        """Measure the variants between two models."""
        base, tuned = subject.models[first], subject.models[other]
        mixture = Mixture(base, tuned)
        towers = [tuned.tower(kind) for kind in tuned.kinds]
        depth = max(tower.backbone.config.num_hidden_layers for tower in towers)
        listed = variants(depth + 1 + int(any(ends_with_weights(tower) for tower in towers)), self.steps)
        scores: list[tuple[Variant, Arrays]] = []
        with progress(f"Exchanging layers of {other} and {first}", len(listed), "variants") as advance:
            for variant in listed:
                scores.append((variant, _scores(mixture, variant, search, subject)))
                advance(1)
        return exchange(first, other, depth, scores, self.measures, subject.seed)


def _scores(mixture: Mixture, variant: Variant, search: Search, subject: Subject) -> Arrays:
    """Score one variant, query by query, unless the same weights were scored before."""
    towers = {kind: mixture.tower(kind, variant.tuned_share) for kind in mixture.ends}

    def compute() -> Arrays:
        encoded: list[np.ndarray] = [
            vectors(tower, search.texts(kind), kind, subject.encoding) for kind, tower in towers.items()
        ]
        return search.score(encoded[0], encoded[1], str(subject.encoding.torch_device))

    made_from = {
        "towers": {kind: tower.fingerprint(kind) for kind, tower in towers.items()},
        "precision": subject.encoding.precision,
        **search.content(),
    }
    return kept(subject.store, "swap", made_from, compute)


def _unlike_ends(first: ProbedModel, second: ProbedModel) -> list[tuple[str, Any, Any]]:
    """Name what two models of one architecture do differently before and after their layers."""
    unlike = []
    for kind in first.kinds:
        towers: tuple[TransformerTower, TransformerTower] = first.tower(kind), second.tower(kind)
        pairs: dict[str, list[Any]] = {
            "pooling": [tower.pooling.name for tower in towers],
            "similarity": [tower.similarity for tower in towers],
            f"{kind} prompt": [repr(tower.prompts[kind]) for tower in towers],
            "title separator": [repr(tower.title_separator) for tower in towers],
            "layers before the pooling": [[one.description() for one in tower.head.token_layers] for tower in towers],
            "projection": [[one.description() for one in tower.head.projections] for tower in towers],
            "shape of the weights": [weights_of(tower) for tower in towers],
        }
        unlike += [(what, mine, theirs) for what, (mine, theirs) in pairs.items() if mine != theirs]
    return unlike
