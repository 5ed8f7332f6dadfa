"""Which weights of a training were scored, and in how many seeds they are worse than those that it began with."""

from collections.abc import Iterable, Sequence

from pipeline.reporting.cells import Cell

NOTES = {
    "best": "Scored after training are the weights of the step that was best on validation, of the steps after the first.",
    "last": "Scored after training are the weights of the last step (stage.weights=last), better or worse.",
}


def scored_weights(cell: Cell) -> str:
    """Give `best` or `last`; folders from before there was a choice have the best."""
    return str((cell.config.get("stage") or {}).get("weights") or "best")


def best_step(cell: Cell) -> int | None:
    """Give the step whose weights were scored, where validation chose it; None where it did not, or is not known."""
    return cell.training.get("best_step") if scored_weights(cell) == "best" else None


def is_below_start(cell: Cell) -> bool:
    """Whether the weights that were scored are worse on validation than those that the whole training began with."""
    return bool(cell.training.get("below_start"))


def below_start_words(cells: Sequence[Cell]) -> str:
    """Say in how many of the seeds training ended below where it began; nothing where in none."""
    below = sum(map(is_below_start, cells))
    if not below:
        return ""
    share = f"all {below} seeds" if below == len(cells) else f"{below} of {len(cells)} seeds"
    return f"{f'in {share} ' if len(cells) > 1 else ''}the trained weights are below the untrained ones on validation"


def weights_notes(cells: Iterable[Cell]) -> list[str]:
    """Say which weights were scored; where runs differ in it, both."""
    return [NOTES.get(weights, f"stage.weights={weights}.") for weights in sorted({*map(scored_weights, cells)})]
