"""Folders on disk -> what a report is about; what cannot be read is named, never guessed at."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipeline.errors import UserError
from pipeline.evaluation.cell_record import RECORD, read_record
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.names import distinct_names
from pipeline.evaluation.results import METRICS
from pipeline.files import read_json
from pipeline.reporting.cells import Absent, Cell, Cells, MaskedLM, Probe
from pipeline.reporting.settings import identity
from pipeline.reporting.side_files import SWEEP, read_cost, read_overrides, read_rows, read_sweep

FINDINGS = "findings.md"
BEGUN = ("config.yaml", RECORD, "log.txt", "checkpoint", METRICS, FINDINGS)
"""What a folder has in which somebody began to compute something."""
NEEDED = ("dataset", "split", "queries", "measures", "systems", "fingerprint")
"""What `metrics.json` must say to be compared."""
Found = Cell | Probe | MaskedLM | Absent


def read_folders(folders: Sequence[Path]) -> Cells:
    """Read sweep folders, run folders, evaluation folders and probe folders.

    Raises:
        UserError: When a folder is missing or given twice, or nothing in any of them is finished.
    """
    _require_folders(folders)
    names = dict(zip(folders, distinct_names(folders), strict=True))
    many = len(folders) > 1
    told = {name: read_sweep(folder) for folder, name in names.items() if _is_told(folder)}
    sweeps = {name: sweep for name, (sweep, _) in told.items()}
    found = {place.resolve(): what for folder, name in names.items() for place, what in _found(folder, name, many)}
    everything = _without_repeats(list(found.values()))
    absent = [what for what in everything if isinstance(what, Absent)]
    cells = Cells(
        finished=[what for what in everything if isinstance(what, Cell)],
        probes=[what for what in everything if isinstance(what, Probe)],
        masked=[what for what in everything if isinstance(what, MaskedLM)],
        absent=[*absent, *_told_by_sweeps(sweeps, absent, many)],
        sweeps=sweeps,
        notes=[note for _, note in told.values() if note],
    )
    if not (cells.finished or cells.probes or cells.masked):
        first = f": {absent[0].name} is {absent[0].state}, {absent[0].sentence}" if absent else ""
        raise UserError(
            f"compare=[{','.join(map(str, folders))}] holds no finished run, evaluation or probe{first.rstrip('.')}; "
            "give finished folders, or the folder that a sweep wrote into."
        )
    return cells


def _require_folders(folders: Sequence[Path]) -> None:
    for place, folder in enumerate(folders):
        if not folder.exists():
            raise UserError(f"compare: {folder} does not exist; check the path, or where the sweep has been moved to.")
        if not folder.is_dir():
            raise UserError(f"compare: {folder} is a file; give the folder that holds it.")
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            raise UserError(f"compare: {folder} is given twice; name it once.")


def _is_told(folder: Path) -> bool:
    """Whether a sweep has told what it did there."""
    return (folder / SWEEP).exists()


def _is_begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in BEGUN)


def _found(folder: Path, name: str, many: bool) -> Iterator[tuple[Path, Found]]:
    """Read one folder, or what lies right below it where it is a sweep's."""
    if _is_begun(folder) and not _is_told(folder):
        yield folder, _read(folder, name)
        return
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if _is_begun(place):
            yield place, _read(place, f"{name}/{place.name}" if many else place.name)


def _without_repeats(everything: list[Found]) -> list[Found]:
    """Leave out runs that are there already, from another folder: they would count as seeds of their own."""
    kept: list[Found] = []
    first: dict[Any, str] = {}
    for what in everything:
        if isinstance(what, Cell) and what.config:
            key = (identity(what.config), what.seed, what.metrics["fingerprint"], what.metrics["split"])
            if key in first:
                kept.append(Absent(what.name, "left out", f"It repeats {first[key]}: the same settings and seed."))
                continue
            first[key] = what.name
        kept.append(what)
    return kept


def _read(folder: Path, name: str) -> Found:
    """Read one folder in which something was begun."""
    try:
        if (folder / METRICS).exists():
            return _read_run(folder, name)
        if (folder / FINDINGS).exists():
            return _read_probe(folder, name)
        return _unfinished(folder, name)
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        why = " ".join(why.replace(f"{folder}/", "").split()).rstrip(".")
        return Absent(name, "left out", f"Its files are of an older or unknown form ({why}).")


def _read_run(folder: Path, name: str) -> Found:
    metrics = mapping(folder / METRICS)
    training = metrics.get("training") or {}
    config = _config(folder / "config.yaml") if training else {}  # an evaluation's settings are no cell's
    if not metrics.get("systems") and training.get("pretraining"):
        return MaskedLM(folder, name, training["pretraining"], config)
    lacking = [key for key in NEEDED if key not in metrics]
    if "parts" in metrics:
        folders = f"compare=[{','.join(str(folder / part) for part in metrics['parts'])}]"
        return Absent(name, "left out", f"It is the mean of collections, which are compared one by one: {folders}.")
    if lacking:
        return Absent(name, "left out", f"It is of an older form: its {METRICS} does not say {lacking[0]}.")
    scores, queries = read_scores(folder / "per_query.csv", metrics["measures"])
    if not scores or len(queries) != metrics["queries"]:
        return Absent(name, "left out", f"Its per_query.csv does not go with its {METRICS}.")
    record, cost = read_record(folder), read_cost(folder)
    overrides = read_overrides(folder) if training else {}
    return Cell(folder, name, metrics, config, overrides, scores, queries, record, cost)


def read_scores(path: Path, measures: Sequence[str]) -> tuple[dict[str, Scores], dict[str, str]]:
    """Read what each query earned, by system, and the texts of the queries.

    Raises:
        UserError: When a query is missing for a system.
    """
    ids: dict[str, list[str]] = {}
    values: dict[str, list[list[float]]] = {}
    queries: dict[str, str] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ids.setdefault(row["system"], []).append(row["query_id"])
            values.setdefault(row["system"], []).append([float(row[name]) for name in measures])
            queries[row["query_id"]] = row["query"]
    scores = {}
    for system, names in ids.items():
        if names != list(queries):
            raise UserError(f"{path} has other queries for {system} than for the first system.")
        columns = np.array(values[system], dtype=np.float64).T
        scores[system] = Scores(list(measures), names, dict(zip(measures, columns, strict=True)))
    return scores, queries


def _read_probe(folder: Path, name: str) -> Probe:
    lines = (folder / FINDINGS).read_text(encoding="utf-8").splitlines()
    title = next((line.lstrip("# ") for line in lines if line.startswith("#")), name)
    findings = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return Probe(
        folder, name, title, findings, read_rows(folder / "summary.csv"), sorted((folder / "plots").glob("*.png"))
    )


def _unfinished(folder: Path, name: str) -> Absent:
    record = read_record(folder)
    if record and record.state == "failed":
        return Absent(name, "failed", record.sentence or "It does not say why.")
    if record and record.state == "running":
        return Absent(name, "unfinished", f"Begun {record.started}, and not done.")
    return Absent(name, "unfinished", f"It has no {METRICS}; the command that began it, given again, continues it.")


def _told_by_sweeps(sweeps: dict[str, dict[str, Any]], there: Sequence[Absent], many: bool) -> Iterator[Absent]:
    """Name cells that a sweep skipped, or that failed before they had a folder."""
    known = {one.name for one in there}
    for sweep, told in sweeps.items():
        for cell in told.get("cells") or []:
            folder = cell.get("folder") or ", ".join(
                f"{key}={value}" for key, value in (cell.get("overrides") or {}).items()
            )
            name = f"{sweep}/{folder}" if many else folder
            if cell.get("state") in ("failed", "skipped") and name not in known:
                yield Absent(name, cell["state"], cell.get("sentence") or "It does not say why.")


def mapping(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: When the file holds none.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} does not hold a JSON object.")
    return found


def _config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"{path} is not YAML") from error
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
