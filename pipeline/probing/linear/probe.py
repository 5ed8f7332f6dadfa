"""The linear probe: which of N candidates answers a question, asked of every layer's frozen states."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from pipeline.checks import number, one_of, whole_number
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.probing.kept import Arrays
from pipeline.probing.linear.families import FAMILIES
from pipeline.probing.linear.findings import findings_of
from pipeline.probing.linear.layers import Design
from pipeline.probing.linear.picture import pictures_of
from pipeline.probing.linear.pieces import Material, Pieces
from pipeline.probing.linear.published_probes import published_curves
from pipeline.probing.linear.reading import KINDS, as_read, reading
from pipeline.probing.linear.results import Results, rows_of, summary_of
from pipeline.probing.linear.rows import (
    PUBLISHED_NEGATIVES,
    divide,
    published_pools,
    published_rows,
    right_places,
    sound_rows,
)
from pipeline.probing.linear.training import Recipe
from pipeline.probing.models import ProbedModel
from pipeline.probing.outcome import Outcome
from pipeline.probing.probe import Probe, Protocol, Subject
from pipeline.progress import progress
from pipeline.retrieval.negatives import Given

PUBLISHED_VALIDATION = 0.01
PARTS = ("train", "validation", "test")


class Linear(Probe):
    """Probes that are trained to say which of N candidates answers a question (arXiv 2505.07166).

    Args:
        candidates: The numbers of candidates N.
        layers: Which; None: all.
        probes: Kinds of probe, by name.
        seeds: Of the probes' first weights.
        learning_rates: Of which the best on validation is taken.
        epochs: At most.
        patience: Epochs without a better validation loss that end a training; None: all are trained.
        batch_size: Rows of a step.
        lengths: Tokens that texts are cut to, by `query` and `document`; None: the models' own.
        title_separator: What stands between a document's title and its text; None: the models' own.
        division: Shares of the questions for train, validation and test.
        published: From a model's name to the published curve that is drawn beside it.
        limit: See `Probe`.
    """

    name: ClassVar[str] = "linear"
    reads_layers = True

    def __init__(
        self,
        candidates: Sequence[int],
        layers: Sequence[int] | None,
        probes: Sequence[str],
        seeds: Sequence[int],
        learning_rates: Sequence[float],
        epochs: int,
        patience: int | None,
        batch_size: int,
        lengths: Mapping[Kind, int] | None,
        title_separator: str | None,
        division: Mapping[str, float],
        published: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(limit)
        self.candidates = _whole_numbers("candidates", candidates, least=2)
        self.layers = None if layers is None else list(_whole_numbers("layers", layers, least=0))
        self.probes = [one_of("probe.probes", probe, FAMILIES) for probe in _some("probes", probes)]
        rates = _some("learning_rates", learning_rates)
        self.design = Design(
            self.candidates,
            _whole_numbers("seeds", seeds, least=0),
            tuple(number("probe.learning_rates", rate, above=True) for rate in rates),
            Recipe(
                whole_number("probe.batch_size", batch_size),
                whole_number("probe.epochs", epochs),
                None if patience is None else whole_number("probe.patience", patience),
            ),
            controls=True,
            seed=0,
        )
        self.lengths = _lengths(lengths)
        self.title_separator = title_separator
        self.division = _shares(division)
        if published is not None and not isinstance(published, Mapping):
            raise UserError(f"probe.published={published} must name published curves by model, as {{base: …}}.")
        self.published = {str(model): published_curves(name) for model, name in (published or {}).items()}
        self._prepared: Material | None = None

    def idle(self, protocol: Protocol) -> set[str]:
        """Name no group: negatives and the protocol decide the rows."""
        return set()

    def prepare(self, subject: Subject) -> None:
        """Refuse layers that are not there, towers of unlike width, and rows too few to divide."""
        for name, model in subject.models.items():
            _refuse_unlike_widths(name, model)
            if self.layers and max(self.layers) > model.depth:
                raise UserError(
                    f"probe.layers: {max(self.layers)} is out of range; {name} has layers 0 to {model.depth}"
                    " (0: the embeddings)."
                )
        for name in self.published:
            one_of("probe.published: the model", name, subject.models)
        if subject.protocol == "published" and max(self.candidates) > PUBLISHED_NEGATIVES + 1:
            raise UserError(
                f"probe.candidates: {max(self.candidates)} is too many for protocol=published, which draws"
                f" {PUBLISHED_NEGATIVES} negatives for a row; choose 2 to {PUBLISHED_NEGATIVES + 1}."
            )
        self._prepared = self._material(subject)

    def run(self, subject: Subject) -> Outcome:
        """Train and test every kind of probe on every layer of every model."""
        material, design = self._prepared or self._material(subject), self._design(subject)
        read = {name: as_read(model, self.lengths, self.title_separator) for name, model in subject.models.items()}
        subject = replace(subject, models=read)
        layers = {name: self.layers or list(range(model.depth + 1)) for name, model in subject.models.items()}
        arrays: dict[tuple[str, str], Arrays] = {}
        pieces = {model: Pieces(subject, model, material, design) for model in subject.models}
        with progress("Probing", len(self.probes) * sum(map(len, layers.values())), "layers") as advance:
            for model in subject.models:
                for probe, found in pieces[model].of(layers[model], self.probes, advance).items():
                    arrays[model, probe] = found
        tested = {n: places[material.test] for n, places in right_places(material.tested).items()}
        learned = {n: places[material.training] for n, places in right_places(material.learning).items()}
        results = Results(
            arrays,
            layers,
            design,
            material.tested.questions[material.test],
            {n: (learned.get(n, tested[n]), tested[n]) for n in self.candidates},  # drawn anew, none is most frequent
            len(material.training),
            material.seen,
            subject.protocol,
        )
        rows = rows_of(results)
        return Outcome(
            summary_of(results, rows),
            {"layers": rows},
            [*findings_of(results, rows, material, _departures(subject)), reading(read, self.lengths)],
            pictures_of(results, rows, self.published),
        )

    def _design(self, subject: Subject) -> Design:
        """Say what is trained on every layer."""
        if subject.protocol == "published":
            recipe = replace(self.design.recipe, chosen_by="accuracy")
            return replace(self.design, recipe=recipe, controls=False, seed=subject.seed)
        return replace(self.design, seed=subject.seed)

    def _material(self, subject: Subject) -> Material:
        """Draw the rows and divide them; the first paper's come from two splits, where the dataset has a train split."""
        dataset, split = subject.dataset, subject.split
        drawn_from = dataset, split, self.chosen_queries(split), _negatives(subject)
        if subject.protocol == "sound":
            rows = sound_rows(*drawn_from, self.candidates, subject.seed)
            train, validation, test = divide(rows.distinct_questions, self.division, subject.seed)
            return Material(rows, rows, train, validation, test, divided=True)
        tested = published_rows(*drawn_from, self.candidates, subject.seed)
        if split.name != "train" and "train" in dataset.splits:
            learned = replace(subject, split=dataset.split("train"))
            chosen = self.chosen_queries(learned.split)
            pools = published_pools(dataset, learned.split, chosen, _negatives(learned))
            train, validation = published_division(np.arange(len(pools)), subject.seed)
            return Material(pools, tested, train, validation, np.arange(len(tested)), divided=False)
        *others, test = divide(tested.distinct_questions, self.division, subject.seed)
        train, validation = published_division(np.concatenate(others), subject.seed)
        return Material(published_pools(*drawn_from), tested, train, validation, test, divided=True)


def published_division(rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide row numbers at random, 99 to 1, into training and validation; by row, as the first paper does."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    held_out = max(1, round(PUBLISHED_VALIDATION * len(rows)))
    return np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])


def _negatives(subject: Subject) -> np.ndarray:
    """Give the negatives of a split's queries."""
    negatives = subject.negative_positions()
    if negatives is None:
        raise UserError("probe=linear needs documents that do not answer; use negatives=bm25 or negatives=given.")
    return negatives


def _departures(subject: Subject) -> list[str]:
    """Name what is not as the first paper has it."""
    given = isinstance(subject.negatives, Given)
    return [*subject.departures, *([] if given else ["negatives that are not the dataset's own"])]


def _refuse_unlike_widths(name: str, model: ProbedModel) -> None:
    """Refuse a model whose questions and documents have states that cannot be multiplied with each other."""
    queries, documents = (model.tower(kind).width for kind in ("query", "document"))
    if queries != documents:
        raise UserError(
            f"models.{name}: probe=linear compares states of questions and documents, and the query tower is {queries}"
            f" wide, the document tower {documents}; choose models.{name}.side=document."
        )


def _lengths(lengths: Mapping[Kind, int] | None) -> dict[Kind, int] | None:
    """Return the tokens that texts are cut to."""
    if lengths is None:
        return None
    if not isinstance(lengths, Mapping) or set(lengths) != set(KINDS):
        raise UserError(f"probe.lengths={lengths} must be {{query: …, document: …}}, or null for the models' own.")
    return {kind: whole_number(f"probe.lengths.{kind}", lengths[kind]) for kind in KINDS}


def _some(setting: str, values: Any) -> list[Any]:
    """Return a list with something in it."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise UserError(f"probe.{setting}={values} must be a list with something in it, such as [{values or '…'}].")
    return list(values)


def _whole_numbers(setting: str, values: Any, least: int) -> tuple[int, ...]:
    """Return whole numbers, each once, ascending."""
    return tuple(sorted({whole_number(f"probe.{setting}", value, least) for value in _some(setting, values)}))


def _shares(division: Mapping[str, float]) -> list[float]:
    """Return the shares of the questions, which add up to 1."""
    for part in division:
        one_of("probe.division", part, PARTS)
    shares = [number(f"probe.division.{part}", division.get(part, 0.0), above=True) for part in PARTS]
    if abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"probe.division={dict(division)} must add up to 1.")
    return shares
