"""Recipe transfer: what training on one dataset adds on others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.dataset import labelled
from pipeline.errors import UserError
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.results import METRICS
from pipeline.evaluation.statistics import Interval
from pipeline.reporting.bases import base_of
from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.configurations import setting_words, told_apart
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.plurals import counted
from pipeline.reporting.reading import mapping, read_scores
from pipeline.reporting.scored_weights import weights_notes
from pipeline.reporting.section import Row, Section, Table
from pipeline.reporting.settings import chosen, identity, setting, telling_columns
from pipeline.reporting.words import Finding, measure_words, most_telling, signed, strength, told

MOST_FINDINGS = 4
OF_THE_DATASET = ("dataset", "evaluation")
TOLD_ELSEWHERE = (*OF_THE_DATASET, "base", "backbone", "pretraining", "init")


SYSTEMS = {"bm25": "BM25", "zero_shot": "zero-shot", "dense": "trained", "hybrid": "hybrid of trained and BM25"}
"""What scored on a test split may have been, and how a table calls it."""


@dataclass(frozen=True)
class Tested:
    """One trained cell on the test split of one dataset: what each query earned, by system."""

    cell: Cell
    name: str
    fingerprint: str
    measure: str
    earned: Mapping[str, np.ndarray]

    @property
    def gains(self) -> np.ndarray:
        """What each query gained over zero-shot, [queries]."""
        return self.earned["dense"] - self.earned["zero_shot"]


def section(cells: Cells) -> Section | None:
    """Lay out trained-on against tested-on, tables for each recipe and base."""
    tested = [one for cell in cells for one in _tested(cell)]
    if all(one.fingerprint == one.cell.metrics["fingerprint"] for one in tested):
        return None
    names = _names(tested)
    recipes: dict[Any, list[Tested]] = {}
    for one in tested:
        recipes.setdefault((identity(one.cell.config, ["dataset", "evaluation"]), one.measure), []).append(one)
    tables: list[Table] = []
    findings = []
    names_of = (
        [_title(of, tested, left_out) for of in recipes.values()] for left_out in (TOLD_ELSEWHERE, OF_THE_DATASET)
    )
    titles = told_apart(*names_of)
    for number, (((_, measure), together), title) in enumerate(zip(recipes.items(), titles, strict=True), start=1):
        pairs = _pairs(together, names)
        gains = {pair: interval_of(np.mean([one.gains for one in of], axis=0)) for pair, of in pairs.items()}
        tables += [_gains_table(gains, title, measure, number), _scores_table(pairs, title, measure, number)]
        findings += _findings(gains, tables[-2].title)
    note = "Rows: the dataset that was trained on. Columns: the dataset whose test split was scored. The interval is over its queries."
    notes = [note, *weights_notes(one.cell for one in tested)]
    return Section("Recipe transfer", most_telling(findings, MOST_FINDINGS), tables, notes=notes)


def _tested(cell: Cell) -> Iterator[Tested]:
    """Read a cell's scores on its own test split and on those it was transferred to."""
    if not cell.trains or not (cell.folder / "transfer").is_dir():
        return
    measure = cell.metrics["measures"][0]
    own = chosen(cell.config, "dataset") or cell.metrics["dataset"]
    yield Tested(cell, own, cell.metrics["fingerprint"], measure, _earned(cell.scores, measure))
    for folder in sorted((cell.folder / "transfer").iterdir()):
        try:
            metrics = mapping(folder / METRICS)
            measure = metrics["measures"][0]
            earned = _earned(read_scores(folder / "per_query.csv", metrics["measures"])[0], measure)
            yield Tested(cell, folder.name, metrics["fingerprint"], measure, earned)
        except (UserError, OSError, KeyError, ValueError, TypeError, IndexError):
            continue  # half-written or damaged


def _earned(scores: Mapping[str, Scores], measure: str) -> dict[str, np.ndarray]:
    """Give what each query earned by system; those of before the training and after it must be there."""
    there = [name for name in SYSTEMS if name in scores or name in ("zero_shot", "dense")]
    return {name: scores[name].per_query[measure] for name in there}


def _names(tested: Sequence[Tested]) -> dict[str, str]:
    """Name datasets by what they were called where others were tested on them, or else by their own name."""
    own = {one.cell.metrics["fingerprint"] for one in tested}
    ranked = sorted(tested, key=lambda one: one.fingerprint in own and one.name == chosen(one.cell.config, "dataset"))
    names: dict[str, str] = {}
    for one in ranked:
        names.setdefault(one.fingerprint, labelled(one.name, one.fingerprint))
    return names


def _pairs(tested: Sequence[Tested], names: Mapping[str, str]) -> dict[tuple[str, str], list[Tested]]:
    """Put the seeds of a recipe together by trained-on and tested-on."""
    found: dict[tuple[str, str], list[Tested]] = {}
    for one in tested:
        found.setdefault((names[one.cell.metrics["fingerprint"]], names[one.fingerprint]), []).append(one)
    return found


def _title(tested: Sequence[Tested], everything: Sequence[Tested], left_out: Sequence[str]) -> str:
    base, settings = base_of(tested[0].cell), ", ".join(setting_words(_recipe(tested, everything, left_out)))
    return f"{base.words}{f' ({settings})' if settings else ''}, weights at first {base.weights}"


def _gains_table(gains: Mapping[tuple[str, str], Interval], title: str, measure: str, number: int) -> Table:
    columns = sorted({scored for _, scored in gains})
    rows = [
        {"trained on": trained, **{column: gains.get((trained, column)) for column in columns}}
        for trained in sorted({trained for trained, _ in gains})
    ]
    return Table(f"transfer-{number}", f"Gain over zero-shot in {measure_words(measure)}: {title}", rows, shaded=True)


def _scores_table(pairs: Mapping[tuple[str, str], Sequence[Tested]], title: str, measure: str, number: int) -> Table:
    """Tabulate what each system scored, mean over seeds; what not all of them have is left out."""
    rows: list[Row] = []
    for (trained, scored), together in sorted(pairs.items(), key=lambda pair: pair[0][::-1]):
        row: dict[str, Any] = {"tested on": scored, "trained on": trained}
        for system, words in SYSTEMS.items():
            if all(system in one.earned for one in together):
                row[words] = interval_of(np.mean([one.earned[system] for one in together], axis=0))
        rows.append(row)
    return Table(f"transfer-{number}-scores", f"{measure_words(measure)} of every system: {title}", rows)


def _recipe(tested: Sequence[Tested], everything: Sequence[Tested], left_out: Sequence[str]) -> dict[str, str]:
    """Give the settings that tell this recipe from the others of the section; not those in which its own cells differ."""
    cells = list({one.cell.name: one.cell for one in everything}.values())
    columns = telling_columns([one.config for one in cells], [one.overrides for one in cells])
    found = {
        key: {setting(one.cell.config, one.cell.overrides, key) for one in tested}
        for key in columns
        if key.split(".")[0] not in left_out
    }
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}


def _findings(gains: Mapping[tuple[str, str], Interval], title: str) -> list[Finding]:
    """Say for how many other datasets training helped, harmed, or did neither that could be told."""
    away = {key: gain for key, gain in gains.items() if key[0] != key[1]}
    if not away:
        return []
    helped = [key for key, gain in away.items() if told(gain) and gain.mean > 0]
    harmed = [key for key, gain in away.items() if told(gain) and gain.mean < 0]
    worst = min(away, key=lambda key: away[key].mean)
    sentence = (
        f"{title}. Of {counted(len(away), 'pair')} of unlike datasets, training on the one helps on the other in {len(helped)}, harms "
        f"in {len(harmed)}, and neither can be told in {len(away) - len(helped) - len(harmed)}; lowest: trained on "
        f"{worst[0]}, tested on {worst[1]}, {signed(away[worst])}."
    )
    return [Finding(sentence, max(map(strength, away.values())))]
