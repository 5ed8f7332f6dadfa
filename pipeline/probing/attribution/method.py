"""How texts are attributed: as the settings say, or to the letter as published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.encoders.architecture import position_limit
from pipeline.encoders.feed_forward import BERT, LLAMA, feed_forwards
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError
from pipeline.probing.attribution.quadrature import Adaptive, Published, Quadrature
from pipeline.probing.models import ProbedModel

MAX_LENGTH, THRESHOLD = 256, 0.1
"""Published, and taken here too."""
PUBLISHED_THRESHOLDS = {BERT: THRESHOLD, LLAMA: 0.01}


@dataclass(frozen=True)
class Settings:
    """What the configuration says; None leaves it to the protocol.

    Attributes:
        target: `norm`, `pooler_norm`, `score` or `margin`.
        quadrature: Where the path is looked at.
        threshold: The part of a text's largest attribution from which on a neuron is active.
        thresholds: Others, to see whether conclusions hold.
        max_length: Tokens a text is cut to.
    """

    target: str | None
    quadrature: Quadrature | None
    threshold: float | None
    thresholds: Sequence[float]
    max_length: int | None


@dataclass(frozen=True)
class Method:
    """How texts are attributed, and what counts as active.

    Attributes:
        quadrature: Where the path is looked at.
        targets: By model: `norm`, `pooler_norm`, `score` or `margin`.
        threshold: The one that reports are about.
        thresholds: All, ascending; parts of a text's largest attribution.
        max_length: Tokens a text is cut to.
        published: Whether the published procedure is followed.
    """

    quadrature: Quadrature
    targets: Mapping[str, str]
    threshold: float
    thresholds: Sequence[float]
    max_length: int
    published: bool = False

    def description(self, model: str) -> dict[str, object]:
        """Say what decides a piece, JSON-like."""
        thresholds = list(self.thresholds)
        return {"quadrature": self.quadrature.description(), "target": self.targets[model], "thresholds": thresholds}

    def length(self, tower: TransformerTower) -> int:
        """Give the tokens that a tower's texts are cut to: as published also where the tower would cut them earlier."""
        if not self.published:
            return min(self.max_length, tower.max_length)
        return min(self.max_length, position_limit(tower.backbone) or self.max_length)


def sound_method(settings: Settings, models: Mapping[str, ProbedModel]) -> Method:
    """Follow the settings."""
    return Method(
        settings.quadrature or Adaptive(),
        dict.fromkeys(models, settings.target or "norm"),
        *_thresholds(settings, THRESHOLD),
        settings.max_length or MAX_LENGTH,
    )


def published_method(settings: Settings, models: Mapping[str, ProbedModel]) -> Method:
    """Follow the published procedure (Yao, Wang and Zuccon 2025).

    BERT's target is the norm after its pooler, that of all others the norm of the state; Llamas have a lower threshold.

    Raises:
        UserError: When a setting asks for something else, or nothing is published about the blocks.
    """
    first = next(iter(models.values()))
    family = feed_forwards(first.tower(first.kinds[0]).backbone)[0].family.name
    threshold = PUBLISHED_THRESHOLDS.get(family)
    if threshold is None:
        raise UserError(
            f"protocol=published has thresholds for {' and '.join(PUBLISHED_THRESHOLDS)} blocks, and models.{first.name}"
            f" has {family}; take protocol=sound."
        )
    for name, value, wanted in (
        ("target", settings.target, None),
        ("quadrature", settings.quadrature, Published()),
        ("threshold", settings.threshold, threshold),
        ("max_length", settings.max_length, MAX_LENGTH),
    ):
        if value not in (None, wanted):
            raise UserError(
                f"probe.{name} is set, and protocol=published decides it; leave probe.{name} as it was, or take"
                " protocol=sound."
            )
    targets = {name: "pooler_norm" if is_bert(model) else "norm" for name, model in models.items()}
    return Method(Published(), targets, *_thresholds(settings, threshold), MAX_LENGTH, published=True)


def is_bert(model: ProbedModel) -> bool:
    """Whether a model is BERT itself, read at [CLS], where its pooler reads it too."""
    return model.backbone == "bert" and all(model.tower(kind).pooling.name == "cls" for kind in model.kinds)


def _thresholds(settings: Settings, usual: float) -> tuple[float, list[float]]:
    threshold = settings.threshold or usual
    return threshold, sorted({threshold, *settings.thresholds})
