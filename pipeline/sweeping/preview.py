"""What a sweep is going to do, said before anything starts."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.progress import duration
from pipeline.sweeping.plan import PlannedCell


def preview(
    name: str, cells: Sequence[PlannedCell], axes: Mapping[str, Sequence[str]], seconds: Mapping[str, float]
) -> Iterator[str]:
    """Say which cells there are, which are done, which cannot be run, and what the others will take.

    Args:
        name: Of the sweep.
        cells: All of them.
        axes: The values of every axis.
        seconds: What finished cells took, by kind.

    Yields:
        One line after the other.
    """
    waiting = [cell for cell in cells if not cell.resumed and cell.reason is None]
    skipped = [cell for cell in cells if cell.reason is not None]
    done = sum(cell.resumed for cell in cells)
    yield f"{name}: {_count(len(cells), 'cell')}, {len(waiting)} to run, {done} done before, {len(skipped)} skipped."
    for key, values in axes.items():
        yield f"  {key}: {', '.join(values)}"
    for reason in dict.fromkeys(cell.reason for cell in skipped):
        those = [cell for cell in skipped if cell.reason == reason]
        yield f"  skipped {_choices(those, axes)}: {reason}"
    if waiting:
        towers = len({cell.untrained for cell in waiting})
        yield f"  {_count(towers, 'distinct encoder')} before training, encoded once each; {_estimate(waiting, seconds)}."


def _estimate(waiting: Sequence[PlannedCell], seconds: Mapping[str, float]) -> str:
    known = [seconds[cell.kind] for cell in waiting if cell.kind in seconds]
    if not known:
        return "how long a cell takes is not known, as none of these kinds was finished here yet"
    # A kind that was never run is taken for as long as the others on average.
    total = sum(known) / len(known) * len(waiting)
    rest = len(waiting) - len(known)
    guessed = f" ({rest} of {len(waiting)} guessed from the others)" if rest else ""
    return f"about {duration(total)} one after the other, by what finished cells took{guessed}"


def _choices(cells: Sequence[PlannedCell], axes: Mapping[str, Sequence[str]]) -> str:
    """Name cells by what they have in common on the axes."""
    chosen = [cell.choices(list(axes)) for cell in cells]
    shared = {key: value for key, value in chosen[0].items() if all(other.get(key) == value for other in chosen)}
    said = " ".join(f"{key}={value}" for key, value in shared.items()) or "all"
    return f"{said} ({_count(len(cells), 'cell')})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
