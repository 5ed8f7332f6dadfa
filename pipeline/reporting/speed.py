"""Quality against latency: what a query costs to encode, where that was measured."""

from collections.abc import Sequence
from typing import Any

from pipeline.reporting.cells import Cell, Cells
from pipeline.reporting.charts import scatter
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.section import Chart, Section, Table, interval_words
from pipeline.reporting.side_files import read_rows
from pipeline.reporting.words import measure_words

LATENCY = "latency.csv"
NEEDED = {"model", "side", "batch_size", "both_p50_ms", "both_p95_ms", "threads", "device", "precision"}
CLEARLY = 1.5
"""Times as fast; less may be the machine's other work."""


def section(cells: Cells) -> Section | None:
    """Set the systems of evaluations with `latency=true` against the milliseconds of one query."""
    tables, charts, findings = [], [], []
    for number, cell in enumerate((cell for cell in cells if (cell.folder / LATENCY).exists()), start=1):
        rows = _rows(cell)
        if not rows:
            continue
        measure = measure_words(cell.metrics["measures"][0])
        note = "Tokenisation and encoding of one query alone: median and 95th percentile, in milliseconds."
        tables.append(Table(f"latency-{number}", f"Quality and latency: {cell.name}", rows, note, best=[measure]))
        dots = [(str(row["system"]), float(row["median ms"]), row[measure].mean) for row in rows]
        charts.append(Chart(f"{measure} against latency: {cell.name}", scatter(dots, "milliseconds a query", measure)))
        findings += _findings(rows, measure)
    return Section("Quality and latency", findings, tables, charts) if tables else None


def _rows(cell: Cell) -> list[dict[str, Any]]:
    measure = cell.metrics["measures"][0]
    rows = [row for row in read_rows(cell.folder / LATENCY) if row.keys() >= NEEDED and None not in row.values()]
    timed = [row for row in rows if (row["side"], row["batch_size"]) == ("query", "1")]
    # A single model's system is called dense, whatever the model's name.
    systems = {row["model"]: row["model"] if row["model"] in cell.scores else "dense" for row in timed}
    return [
        {
            "system": row["model"],
            measure_words(measure): interval_of(cell.values(systems[row["model"]], measure)),
            "median ms": float(row["both_p50_ms"]),
            "95th percentile ms": float(row["both_p95_ms"]),
            "threads": int(row["threads"]),
            "device": row["device"],
            "precision": row["precision"],
        }
        for row in timed
        if systems[row["model"]] in cell.scores
    ]


def _findings(rows: Sequence[dict[str, Any]], measure: str) -> list[str]:
    if len(rows) < 2:
        return []
    fastest = min(rows, key=lambda row: row["median ms"])
    best = max(rows, key=lambda row: row[measure].mean)
    times = best["median ms"] / fastest["median ms"]
    if times < CLEARLY:
        return []
    return [
        f"{fastest['system']} encodes a query in {fastest['median ms']:.2f} ms, {times:.0f} times as fast as "
        f"{best['system']} ({best['median ms']:.2f} ms), at {measure} {interval_words(fastest[measure])} against "
        f"{interval_words(best[measure])}."
    ]
