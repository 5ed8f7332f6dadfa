"""Recipe transfer: what training on one dataset adds on others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.results import METRICS
from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import base_of
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.configurations import setting_words
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.plurals import counted
from pipeline.reporting.reading import mapping, read_scores
from pipeline.reporting.scored_weights import weights_notes
from pipeline.reporting.section import Section, Table
from pipeline.reporting.settings import chosen, identity, setting, telling_columns
from pipeline.reporting.words import fewest, measure_words, signed, told

MOST_FINDINGS = 4
TOLD_ELSEWHERE = ("dataset", "base", "backbone", "pretraining", "init", "evaluation")


@dataclass(frozen=True)
class Tested:
    """One trained cell on the test split of one dataset: what each query gained over zero-shot."""

    cell: Cell
    name: str
    fingerprint: str
    measure: str
    gains: np.ndarray


def section(cells: Cells) -> Section | None:
    """Lay out trained-on against tested-on, a table for each recipe and base."""
    tested = [one for cell in cells for one in _tested(cell)]
    if all(one.fingerprint == one.cell.metrics["fingerprint"] for one in tested):
        return None
    names = _names(tested)
    recipes: dict[Any, list[Tested]] = {}
    for one in tested:
        recipes.setdefault((identity(one.cell.config, ["dataset", "evaluation"]), one.measure), []).append(one)
    tables, findings = [], []
    for number, ((_, measure), together) in enumerate(recipes.items(), start=1):
        matrix = _matrix(together, names)
        table = _table(matrix, together, tested, measure, number)
        tables.append(table)
        findings += _findings(matrix, table.title)
    note = "Rows: the dataset that was trained on. Columns: the dataset whose test split was scored. The interval is over its queries."
    return Section(
        "Recipe transfer",
        fewest(findings, MOST_FINDINGS),
        tables,
        notes=[note, *weights_notes(one.cell for one in tested)],
    )


def _tested(cell: Cell) -> Iterator[Tested]:
    """Read a cell's scores on its own test split and on those it was transferred to."""
    if not cell.trains or not (cell.folder / "transfer").is_dir():
        return
    measure = cell.metrics["measures"][0]
    own = chosen(cell.config, "dataset") or cell.metrics["dataset"]
    yield Tested(cell, own, cell.metrics["fingerprint"], measure, _gains(cell.scores, measure))
    for folder in sorted((cell.folder / "transfer").iterdir()):
        try:
            metrics = mapping(folder / METRICS)
            scores, _ = read_scores(folder / "per_query.csv", metrics["measures"])
            gains = _gains(scores, metrics["measures"][0])
        except (UserError, OSError, KeyError, ValueError, TypeError, IndexError):
            continue  # half-written or damaged
        yield Tested(cell, folder.name, metrics["fingerprint"], metrics["measures"][0], gains)


def _gains(scores: Mapping[str, Scores], measure: str) -> np.ndarray:
    return scores["dense"].per_query[measure] - scores["zero_shot"].per_query[measure]


def _names(tested: Sequence[Tested]) -> dict[str, str]:
    """Name datasets by what they were called where others were tested on them, or else by their own name."""
    own = {one.cell.metrics["fingerprint"] for one in tested}
    ranked = sorted(tested, key=lambda one: one.fingerprint in own and one.name == chosen(one.cell.config, "dataset"))
    names: dict[str, str] = {}
    for one in ranked:
        names.setdefault(one.fingerprint, one.name)
    return names


def _matrix(tested: Sequence[Tested], names: Mapping[str, str]) -> dict[tuple[str, str], Interval]:
    """Give the gain with its interval by trained-on and tested-on, mean over seeds."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for one in tested:
        key = (one.cell.metrics["fingerprint"], one.fingerprint)
        found.setdefault(key, []).append(one.gains)
    return {
        (names[trained], names[scored]): interval_of(np.mean(gains, axis=0))
        for (trained, scored), gains in found.items()
    }


def _table(
    matrix: Mapping[tuple[str, str], Interval],
    tested: Sequence[Tested],
    everything: Sequence[Tested],
    measure: str,
    number: int,
) -> Table:
    base, settings = base_of(tested[0].cell), ", ".join(setting_words(_recipe(tested[0].cell, everything)))
    columns = sorted({scored for _, scored in matrix})
    rows = [
        {"trained on": trained, **{column: matrix.get((trained, column)) for column in columns}}
        for trained in sorted({trained for trained, _ in matrix})
    ]
    return Table(
        f"transfer-{number}",
        f"Gain over zero-shot in {measure_words(measure)}: {base.words}{f' ({settings})' if settings else ''}",
        rows,
        f"Weights at first: {base.weights}.",
        shaded=True,
    )


def _recipe(cell: Cell, everything: Sequence[Tested]) -> dict[str, str]:
    """Give the settings that tell this recipe from the others of the section, base and dataset left out."""
    cells = list({one.cell.name: one.cell for one in everything}.values())
    columns = telling_columns([one.config for one in cells], [one.overrides for one in cells])
    return {
        key: setting(cell.config, cell.overrides, key) for key in columns if key.split(".")[0] not in TOLD_ELSEWHERE
    }


def _findings(matrix: Mapping[tuple[str, str], Interval], title: str) -> list[str]:
    """Say for how many other datasets training helped, harmed, or did neither that could be told."""
    away = {key: gain for key, gain in matrix.items() if key[0] != key[1]}
    if not away:
        return []
    helped = [key for key, gain in away.items() if told(gain) and gain.mean > 0]
    harmed = [key for key, gain in away.items() if told(gain) and gain.mean < 0]
    worst = min(away, key=lambda key: away[key].mean)
    return [
        f"{title}. Of {counted(len(away), 'pair')} of unlike datasets, training on the one helps on the other in {len(helped)}, harms "
        f"in {len(harmed)}, and neither can be told in {len(away) - len(helped) - len(harmed)}; lowest: trained on "
        f"{worst[0]}, tested on {worst[1]}, {signed(away[worst])}."
    ]
