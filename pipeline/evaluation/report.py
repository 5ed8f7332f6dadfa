"""The table of a finished run folder, on the terminal."""

import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.data.dataset import labelled
from pipeline.errors import UserError
from pipeline.evaluation.approximation import approximation_words, beside_the_name
from pipeline.evaluation.latency import Latencies
from pipeline.evaluation.pretraining import pretraining_lines, pretraining_table
from pipeline.evaluation.results import METRICS
from pipeline.evaluation.significance import Comparison, Significance
from pipeline.evaluation.training_words import MARKS, training_lines
from pipeline.files import read_json

LETTERS = "abcdefghijklmnoprstuvwxyz"
SUPERSCRIPTS = dict(zip(LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))
"""Unicode has no raised q, so no system is called q."""

WIDTH_OF_A_FILE = 500
"""In characters: more than any table takes."""

COUNTS = {
    "truncated_documents": "documents cut to the model's maximum length",
    "truncated_queries": "queries cut to the model's maximum length",
    "queries_without_results": "queries without results, which count 0",
    "unjudged_queries": "queries that nobody judged, left out",
    "queries_without_judged_result": "queries, all of the run, without one judged result (do the ids belong together?)",
    "ranks_not_followed": "queries whose ranks say another order than score, then id, both descending (trec_eval's)",
    "tied_queries": "queries whose results all have one score, so that ids alone order them",
    "self_hits": "queries with a result of their own id, which stays",
    "lines_without_tag": "lines without a run's tag, which trec_eval refuses",
    "lines_with_more_columns": "lines with more than six columns, of which trec_eval reads the first five",
    "ids_as_floats": "ids that are numbers with or without the .0 of a data frame, unlike the judgements'",
    "lines_by_columns": "lines read as run_columns says",
    "nearly_empty_documents": "documents with fewer than two words, more than half of all",
}
"""What a system's details may count, and how a table says it."""


def print_folder(folder: Path, console: Console | None = None) -> dict[str, Any]:
    """Print the table of a finished run folder from its files.

    Returns:
        What its `metrics.json` holds.

    Raises:
        UserError: When the folder has no readable `metrics.json`.
    """
    metrics = read_json(Path(folder) / METRICS)
    if not isinstance(metrics, dict) or "systems" not in metrics or "measures" not in metrics:
        raise UserError(f"{Path(folder) / METRICS} is not the result of an evaluation; delete it and run again.")
    print_metrics(metrics, console)
    return metrics


def print_metrics(metrics: dict[str, Any], console: Console | None = None, latency: Latencies | None = None) -> None:
    """Print systems against measures, the best in bold, with the marks of significance and what they mean."""
    console = console or console_for_tables()
    console.print(results_table(metrics, latency) if metrics["systems"] else pretraining_table(metrics))
    for line in [*caption(metrics), *([latency.caption()] if latency else [])]:
        console.print(Text(line, style="dim"), soft_wrap=True)


def console_for_tables() -> Console:
    """Give the terminal; a file has no width, and nothing in it need be cut to the one that is assumed."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)


def results_table(metrics: dict[str, Any], latency: Latencies | None = None) -> Table:
    """Lay out a table of systems against measures.

    Args:
        metrics: What `metrics.json` holds.
        latency: What encoding a query takes, which has no place in `metrics.json`; None leaves its column out.

    Raises:
        UserError: When there are more systems than letters to mark them with.
    """
    systems, measures = metrics["systems"], metrics["measures"]
    require_letters(len(systems))
    letters = dict(zip(systems, LETTERS, strict=False))
    significance = read_significance(metrics)
    title = ", ".join(part for part in (dataset_label(metrics), metrics["split"]) if part)
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("system")
    for measure in measures:
        table.add_column(measure, justify="left", no_wrap=True)
    if latency:
        table.add_column("query ms", justify="right", no_wrap=True)
    for name, means in systems.items():
        cells = []
        for measure in measures:
            best = means[measure] == max(other[measure] for other in systems.values()) and len(systems) > 1
            beaten = significance.beaten_by(name, measure) if significance else []
            marks = "".join(SUPERSCRIPTS[letters[other]] for other in beaten)
            cells.append(Text(f"{means[measure]:.4f}{marks}", style="bold" if best else ""))
        cells += [Text(latency.cell(name))] if latency else []
        details = metrics["details"].get(name, {})
        said = ", ".join(words for key, words in MARKS.items() if details.get(key))
        beside = beside_the_name(details) + (f" ({said})" if said else "")
        table.add_row(Text(letters[name], style="dim"), f"{name}{beside}", *cells)
    return table


def dataset_label(metrics: dict[str, Any]) -> str:
    """Name the dataset of a `metrics.json`, and which contents of that name were meant."""
    return labelled(metrics["dataset"], metrics.get("fingerprint", ""))  # older folders do not say


def require_letters(systems: int) -> None:
    """Refuse more systems than there are letters to mark them with.

    Raises:
        UserError: When there are more.
    """
    if systems > len(LETTERS):
        raise UserError(f"{systems} systems are more than the {len(LETTERS)} that a table can mark; compare fewer.")


def caption(metrics: dict[str, Any]) -> list[str]:
    """Say what the table rests on: counts, what counts as relevant, the test behind the marks, the hybrid's weight."""
    before = (
        pretraining_lines(metrics["training"]["pretraining"]) if metrics.get("training", {}).get("pretraining") else []
    )
    remarks = metrics.get("remarks", [])
    if not metrics["systems"]:
        return [*before, *remarks]
    documents = f", {metrics['documents']:,} documents" if metrics.get("documents") is not None else ""
    relevant = f"; relevant from grade {metrics['relevant_from']}" if metrics["relevant_from"] != 1 else ""
    lines = [f"{metrics['queries']:,} queries{documents}{relevant}.", *remarks]
    if "remarks" not in metrics and metrics["remove_self_hits"]:
        lines.append("A document with the query's own id is removed.")
    significance = read_significance(metrics)
    if significance:
        lines.append(f"Letters: better than that system ({significance.caption()}).")
    lines += before
    training = metrics.get("training", {})
    lines += training_lines(training)
    lines += [drawn_line(training["drawn"])] if training.get("drawn") else []
    for name, details in metrics["details"].items():
        lines += [f"{name} is {details['source']}."] if "source" in details else []
        lines += [f"{name}: {drawn_line(details['drawn'])}"] if details.get("drawn") else []
        lines += [f"{name}: {words}" for words in [*_hybrid_words(details), *approximation_words(details)]]
        lines += [f"{name}: {words}: {details[count]:,}." for count, words in COUNTS.items() if details.get(count)]
    return lines


def _hybrid_words(details: dict[str, Any]) -> list[str]:
    """Say what a hybrid's ranking rests on: its weight, and how many candidates it had to score."""
    words = []
    if "lexical_weight" in details:
        tuned = f"tuned on {details['tuned_on']}" if details["tuned_on"] else "untuned"
        words.append(f"lexical weight {details['lexical_weight']:g}, {details['normalisation']} scores, {tuned}.")
    if "dense_scored" in details:
        scored, candidates, best = details["dense_scored"], details["candidates"], f"the top {details['depth']:,}"
        if scored < candidates:
            share = f"{scored:,} of {candidates:,} candidates ({scored / candidates:.1%})"
            words.append(f"scored {share}, the others could not enter {best}.")
        else:
            words.append(f"scored all {candidates:,} candidates, each of which could enter {best}.")
    return words


def drawn_line(drawn: str) -> str:
    """Say that weights were drawn at random, so that nobody takes their figures for those of a checkpoint.

    Args:
        drawn: Which, as `DualEncoder.drawn` has it.
    """
    return f"Random at the start, not read from a checkpoint: {drawn}."


def read_significance(metrics: dict[str, Any]) -> Significance | None:
    """Read the comparisons back from `metrics.json`."""
    found = metrics.get("significance")
    if not found:
        return None
    return Significance(**{**found, "comparisons": [Comparison(**comparison) for comparison in found["comparisons"]]})
