"""What was run: axes, cells, and what has no figures and why."""

from collections import Counter
from typing import Any

from pipeline.evaluation.approximation import recall_of
from pipeline.reporting.cells import Cells
from pipeline.reporting.section import Row, Section, Table
from pipeline.reporting.settings import rank, setting, varies


def section(cells: Cells) -> Section:
    """Count what there is, and name what is missing."""
    tables = [Table("folders", "Folders", _counts(cells))]
    if axes := _axes(cells):
        tables.append(Table("axes", "Axes", axes))
    absent: list[Row] = [{"cell": one.name, "state": one.state, "why": one.sentence} for one in cells.absent]
    if absent:
        tables.append(Table("absent", "Cells without figures", absent, "They are in no other table."))
    notes = [*_notes(cells), *_remarks(cells), *_approximate(cells), *cells.notes]
    return Section("What was run", tables=tables, notes=notes)


def _axes(cells: Cells) -> list[Row]:
    """Give what the sweeps say they varied, and what else differs between the runs' command lines."""
    told: list[Row] = [
        ({"sweep": name} if len(cells.sweeps) > 1 else {}) | {"axis": axis, "values": ", ".join(map(str, values))}
        for name, sweep in cells.sweeps.items()
        for axis, values in (sweep.get("axes") or {}).items()
    ]
    known = {str(row["axis"]).lstrip("+~") for row in told}
    varied = {axis: values for axis, values in _varied(cells).items() if axis not in known}
    return [*told, *({"axis": axis, "values": ", ".join(values)} for axis, values in varied.items())]


def _varied(cells: Cells) -> dict[str, list[str]]:
    runs = [cell for cell in cells if cell.overrides]
    axes = dict.fromkeys(key for cell in runs for key in cell.overrides if varies(key, seeds=True))
    values = {axis: dict.fromkeys(setting(cell.config, cell.overrides, axis) for cell in runs) for axis in axes}
    return {
        axis: sorted((value or "(default)" for value in found), key=rank)
        for axis, found in values.items()
        if len(found) > 1
    }


def _counts(cells: Cells) -> list[Row]:
    states = Counter(one.state for one in cells.absent)
    found: dict[str, Any] = {
        "finished runs": sum(1 for cell in cells if cell.training),
        "evaluations": sum(1 for cell in cells if not cell.training),
        "masked-LM runs": len(cells.masked),
        "probes": len(cells.probes),
        **states,
    }
    return [{"what": what, "number": count} for what, count in found.items() if count]


def _approximate(cells: Cells) -> list[str]:
    """Say of every approximate index how much of exact search it found at least."""
    least: dict[str, float] = {}
    for details in (found for cell in cells for found in cell.metrics.get("details", {}).values()):
        for at, share in recall_of(details).items():
            least[f"{details['index']}, {at}"] = min(share, least.get(f"{details['index']}, {at}", 1.0))
    return [
        f"Searched approximately ({index}): {share:.4f} of what exact search finds, in the folder where it is the least."
        for index, share in least.items()
    ]


def _notes(cells: Cells) -> list[str]:
    groups = cells.groups()
    if len(groups) < 2:
        return []
    unlike = len({tuple(group.measures) for group in groups}) > 1
    named = "; ".join(f"{group.title} ({', '.join(group.measures)})" if unlike else group.title for group in groups)
    return [
        f"The folders are of {len(groups)} unlike datasets, sets of queries or measures, and are compared only within "
        f"each: {named}."
    ]


def _remarks(cells: Cells) -> list[str]:
    """Give what the runs say of their data, once for each dataset."""
    told = (
        f"{group.title}: {remark}"
        for group in cells.groups()
        for cell in group.cells
        for remark in cell.metrics.get("remarks", [])
    )
    return list(dict.fromkeys(told))
