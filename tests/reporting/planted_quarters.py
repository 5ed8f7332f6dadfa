"""Runs over planted quarters: what each query earns is made up, the files are as a run writes them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.data.withheld import QUARTERS
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.results import QUARTERS_HEADER
from pipeline.files import write_csv
from pipeline.reporting.cells import Cell
from pipeline.reporting.quarters import Pair

NOTHING: dict[tuple[str, str], float] = {}


def planted_pair(
    folder: Path,
    rotation: int = 0,
    effects: Mapping[tuple[str, str], float] = NOTHING,
    *,
    articles: int = 48,
    questions: int = 12,
    seed: int = 0,
    renamed: bool = False,
    learned: bool = True,
) -> Pair:
    """Make two runs, without and after the masked-LM step.

    Args:
        folder: Where both lie.
        rotation: Of the roles, and the runs' seed.
        effects: From quarter and state to what every query there earns more.
        articles: A quarter of them in each quarter.
        questions: Of each article.
        seed: Of articles, questions and noise.
        renamed: Whether the dataset's entities are.
        learned: Whether the masked-LM step is said to have learned.
    """
    generator = np.random.default_rng([seed, rotation])
    of = np.repeat(np.arange(articles), questions)
    quarters = [QUARTERS[(article + rotation) % 4] for article in of]
    ids = [f"q{number}" for number in range(len(of))]
    base = np.random.default_rng(seed).normal(0.5, 0.1, articles)[of]
    values = {}
    for state in ("zero-shot", "fine-tuned", "masked-LM", "masked-LM, fine-tuned"):
        planted = np.array([effects.get((quarter, state), 0.0) for quarter in quarters])
        by_article = generator.normal(0, 0.05, articles)[of]
        values[state] = base + planted + by_article + generator.normal(0, 0.2, len(of))
    dataset = {"rotation": rotation, "unit": "article", "rename_entities": renamed}

    def cell(name: str, states: list[str], pretraining: dict) -> Cell:
        place = folder / f"{name}-{rotation}-{renamed}"
        rows = [
            (id_, f"p{article}", quarter, f"a{article}")
            for id_, article, quarter in zip(ids, of, quarters, strict=True)
        ]
        write_csv(place / "quarters.csv", QUARTERS_HEADER, rows)
        scores = {
            system: Scores(["mrr@10"], ids, {"mrr@10": values[state]})
            for system, state in zip(("zero_shot", "dense"), states, strict=True)
        }
        config = {"seed": rotation, "dataset": dataset, "pretraining": {"steps": 1} if pretraining else None}
        metrics = {
            "dataset": "facts-renamed" if renamed else "facts",
            "measures": ["mrr@10"],
            "training": {"steps": 10} | ({"pretraining": pretraining} if pretraining else {}),
        }
        return Cell(place, place.name, metrics, config, {}, scores, dict.fromkeys(ids, "a question"))

    record = {"learned": learned, "loss_before": 3.0, "loss": 2.0}
    return Pair(
        cell("plain", ["zero-shot", "fine-tuned"], {}), cell("after", ["masked-LM", "masked-LM, fine-tuned"], record)
    )
