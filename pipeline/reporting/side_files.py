"""What lies beside a run's scores: read where it can be, never a reason to leave a finished run out."""

import csv
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipeline.errors import UserError
from pipeline.evaluation.cell_record import SWEEP
from pipeline.evaluation.cells import OVERRIDES
from pipeline.files import read_json


def read_cost(folder: Path) -> dict[str, float]:
    """Read the figures of `cost.json`; nothing where there are none."""
    return {key: value for key, value in _object(folder / "cost.json").items() if _is_figure(value)}


def read_timings(folder: Path) -> float | None:
    """Add up the seconds in `timings.json`; None where there are none."""
    stages = [stages for stages in _object(folder / "timings.json").values() if isinstance(stages, dict)]
    seconds = [value for one in stages for value in one.values() if _is_figure(value)]
    return float(sum(seconds)) if seconds else None


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file; none where there is no such file, or it is no text."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_overrides(folder: Path) -> dict[str, str]:
    """Read what the command line chose, as far as that is known; a value keeps the form in which it was written."""
    try:
        given = OmegaConf.to_container(OmegaConf.load(folder / OVERRIDES))
    except (OSError, OmegaConfBaseException, YAMLError, UnicodeDecodeError):
        return {}
    pairs = [str(override).lstrip("+~").partition("=") for override in (given if isinstance(given, list) else [])]
    return {key: value for key, _, value in pairs}


def read_sweep(folder: Path) -> tuple[dict[str, Any], str | None]:
    """Read what a sweep tells of itself, as far as it has the usual form.

    Returns:
        `name`, `axes` and `cells`; and a sentence where some of it cannot be understood.
    """
    try:
        told = read_json(folder / SWEEP)
    except (UserError, OSError) as error:
        return {}, f"{error} What the sweep tells of its cells is left out."
    parts = {"name": str, "axes": dict, "cells": list}
    found = {key: told[key] for key in parts if isinstance(told, dict) and isinstance(told.get(key), parts[key])}
    axes = {axis: values for axis, values in found.get("axes", {}).items() if isinstance(values, list)}
    cells = [cell for cell in found.get("cells", []) if isinstance(cell, dict) and _is_cell(cell)]
    whole = isinstance(told, dict) and all(told.get(key) is None or key in found for key in parts)
    if whole and (axes, cells) == (found.get("axes", {}), found.get("cells", [])):
        return found, None
    odd = f"{folder / SWEEP} is not of the form that a sweep writes; what of it cannot be understood is left out."
    return {**found, "axes": axes, "cells": cells}, odd


def _is_cell(cell: dict[str, Any]) -> bool:
    forms = {"folder": str, "overrides": dict, "state": str, "sentence": str}
    return all(cell.get(key) is None or isinstance(cell[key], form) for key, form in forms.items())


def _object(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (UserError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
