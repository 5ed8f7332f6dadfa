"""What became of erased facts: figures, a picture and sentences."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from pipeline.evaluation.statistics import SIGNIFICANT
from pipeline.probing.intervention.changes import AFFECTED, CONTROL, MINUS, change_in_words
from pipeline.probing.intervention.picture import draw_changes
from pipeline.probing.outcome import Outcome, Picture, Row

BEFORE, FINE_TUNED = "before fine-tuning", "fine-tuned"


def relearning_outcome(
    rows: Mapping[str, Sequence[Row]], measures: Sequence[str], first: str, trained_on: str
) -> Outcome:
    """Put everything together.

    Args:
        rows: By time: how each model differs from the first, and the second from the others (`change_rows`).
        measures: Names; the sentences speak of the first.
        first: What the models are compared with.
        trained_on: What is known of the training data.
    """
    table = [
        {
            "time": time,
            "model": row["selection"],
            "against": first if MINUS not in row["selection"] else None,
            **{name: value for name, value in row.items() if name not in ("selection", "before", "after")},
            "score of the other": row["before"],
            "score": row["after"],
        }
        for time, of in rows.items()
        for row in of
    ]
    drawn = [{**row, "selection": row["model"], "model": row["time"]} for row in table]

    def draw(figure: Figure) -> None:
        draw_changes(figure, drawn, measures, BEFORE)

    of_first = {time: _by_place(of, measures[0]) for time, of in rows.items()}
    sentences = [sentence for time, of in of_first.items() for sentence in _sentences(time, of, measures[0], first)]
    summary = [row for row in table if row["measure"] == measures[0]]
    size = (3.2 * len(measures) + 1.8, 0.8 + 1.9 * len(rows))
    caution = "Each model was trained once: intervals are over queries, and say nothing of other runs of the recipe."
    findings = [*sentences, *_verdicts(of_first, first), caution, trained_on]
    return Outcome(summary, {"changes": table}, findings, {"relearning": Picture(draw, size)})


def _by_place(rows: Sequence[Row], measure: str) -> dict[tuple[str, str], Row]:
    """Find the rows of one measure by model and group."""
    return {(row["selection"], row["group"]): row for row in rows if row["measure"] == measure}


def _sentences(time: str, of: Mapping[tuple[str, str], Row], measure: str, first: str) -> Iterator[str]:
    """Say how each model differs from the first, and the second from the others."""
    for name in dict.fromkeys(name for name, _ in of):
        affected, control = of[name, AFFECTED], of[name, CONTROL]
        left, _, right = name.partition(MINUS)
        yield (
            f"{time}: {left} has {measure} {affected['after']:.4f} on the {affected['queries']} affected queries where"
            f" {right or first} has {affected['before']:.4f}: {_tested(affected)}; on the {control['queries']} control"
            f" queries {control['after']:.4f} against {control['before']:.4f}: {_tested(control)}."
        )


def _verdicts(of: Mapping[str, Mapping[tuple[str, str], Row]], first: str) -> Iterator[str]:
    """Say of the second model whether what it lost came back; the others are its controls."""
    name, _ = next(iter(of[FINE_TUNED]))
    if (name, AFFECTED) not in of.get(BEFORE, {}):
        return
    if not _is_lower(of[BEFORE][name, AFFECTED]):
        yield (
            f"{name} was not shown to have lost the facts before fine-tuning, so nothing can be said of its learning"
            " them again; erase more neurons, of more facts."
        )
    elif _is_lower(of[FINE_TUNED][name, AFFECTED]):
        yield f"What {name} had lost before fine-tuning is still less retrievable after it than in {first}."
    else:
        yield f"What {name} had lost before fine-tuning is not shown to be less retrievable after it than in {first}."


def _is_lower(row: Row) -> bool:
    return row["change"] < 0 and row["p_corrected"] <= SIGNIFICANT


def _tested(row: Row) -> str:
    change = f"{change_in_words(row)}, corrected p = {row['p_corrected']:.3g}"
    if row["p_corrected"] > SIGNIFICANT:
        return f"no significant difference ({change})"
    return f"{'less' if row['change'] < 0 else 'more'} ({change})"
