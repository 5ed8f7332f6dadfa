"""What became of erased facts: figures, a picture and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pipeline.probing.change_picture import draw_changes
from pipeline.probing.changes import AFFECTED, CONTROL
from pipeline.probing.outcome import Outcome, Picture

BEFORE, FINE_TUNED = "before fine-tuning", "fine-tuned"
LEVEL = 0.05

Rows = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""By time and by model: how it differs from the first model, a row for each measure and group of queries."""


def relearning_outcome(rows: Rows, measures: Sequence[str], first: str, trained_on: str) -> Outcome:
    """Put everything together.

    Args:
        rows: See `Rows`.
        measures: Names; the sentences speak of the first.
        first: What the models are compared with.
        trained_on: What is known of the training data.
    """
    table = [
        {
            "time": time,
            "model": name,
            "group": row["group"],
            "measure": row["measure"],
            "queries": row["queries"],
            first: row["before"],
            "score": row["after"],
            **{column: row[column] for column in ("change", "low", "high", "p_value", "p_corrected")},
        }
        for time, models in rows.items()
        for name, of in models.items()
        for row in of
    ]
    drawn = [{**row, "selection": row["model"], "model": row["time"]} for row in table]

    def draw(figure: Figure) -> None:
        draw_changes(figure, drawn, measures, BEFORE)

    sentences = [sentence for models in rows.items() for sentence in _sentences(*models, measures[0], first)]
    summary = [row for row in table if row["measure"] == measures[0]]
    size = (3.2 * len(measures) + 1.2, 0.8 + 1.9 * len(rows))
    return Outcome(summary, {"changes": table}, [*sentences, trained_on], {"relearning": Picture(draw, size)})


def _sentences(time: str, models: Mapping[str, Sequence[Mapping[str, Any]]], measure: str, first: str) -> Iterator[str]:
    """Say how each model differs from the first."""
    for name, rows in models.items():
        of = {row["group"]: row for row in rows if row["measure"] == measure}
        yield (
            f"{time}: {name} has {measure} {of[AFFECTED]['after']:.4f} on the {of[AFFECTED]['queries']} affected queries"
            f" where {first} has {of[AFFECTED]['before']:.4f}: {_tested(of[AFFECTED])}; on the"
            f" {of[CONTROL]['queries']} control queries {of[CONTROL]['after']:.4f} against"
            f" {of[CONTROL]['before']:.4f}: {_tested(of[CONTROL])}."
        )


def _tested(row: Mapping[str, Any]) -> str:
    change = f"{row['change']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}], corrected p = {row['p_corrected']:.3g}"
    if row["p_corrected"] > LEVEL:
        return f"no significant difference ({change})"
    return f"{'less' if row['change'] < 0 else 'more'} ({change})"
