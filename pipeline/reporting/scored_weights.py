"""Which weights of a training were scored: the last, or those that were best on validation, untrained ones among them."""

from collections.abc import Iterable, Sequence

from pipeline.reporting.cells import Cell

NOTES = {
    "best": (
        "Scored after training are the weights of the step that was best on validation, step 0 (not trained at all) among "
        "them: a one-sided choice, by which training that harms shows as no change."
    ),
    "last": "Scored after training are the weights of the last step (stage.weights=last), better or worse.",
}


def scored_weights(cell: Cell) -> str:
    """Give `best` or `last`; folders from before there was a choice have the best."""
    return str((cell.config.get("stage") or {}).get("weights") or "best")


def is_kept(cell: Cell) -> bool:
    """Whether no step of any part of the training was better than none by validation, so that nothing changed."""
    parts = [cell.training, *([cell.training["align"]] if cell.training.get("align") else [])]
    return scored_weights(cell) == "best" and all(part.get("best_step") == 0 for part in parts)


def best_step(cell: Cell) -> int | None:
    """Give the step whose weights were scored, where validation chose it; None where it did not, or is not known."""
    return cell.training.get("best_step") if scored_weights(cell) == "best" else None


def kept_at_0(cells: Sequence[Cell]) -> str | None:
    """Count the seeds whose untrained weights were kept, `2 of 3`; None where validation chose none, or is not known."""
    if any(best_step(cell) is None for cell in cells):
        return None
    return f"{sum(map(is_kept, cells))} of {len(cells)}"


def kept_words(cells: Sequence[Cell]) -> str:
    """Say in how many of the seeds the untrained weights were kept; nothing where in none."""
    where = _where(cells)
    return (
        f"{where}no step was better than none by validation, and the untrained weights were kept" if _any(cells) else ""
    )


def kept_briefly(cells: Sequence[Cell]) -> str:
    """Say the same in a few words."""
    return f"{_where(cells)}the untrained weights" if _any(cells) else ""


def _any(cells: Sequence[Cell]) -> bool:
    return any(map(is_kept, cells))


def _where(cells: Sequence[Cell]) -> str:
    kept = sum(map(is_kept, cells))
    share = f"all {kept} seeds" if kept == len(cells) else f"{kept} of {len(cells)} seeds"
    return f"in {share} " if len(cells) > 1 else ""


def weights_notes(cells: Iterable[Cell]) -> list[str]:
    """Say which weights were scored; where runs differ in it, both."""
    return [NOTES.get(weights, f"stage.weights={weights}.") for weights in sorted({*map(scored_weights, cells)})]
