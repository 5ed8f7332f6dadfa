"""What an evaluation finds, and the files of a run folder that say it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.evaluation.approximation import recall_of
from pipeline.evaluation.latency import HEADER, Latencies
from pipeline.evaluation.latency_plot import plot_quality_latency
from pipeline.evaluation.measures import Scores
from pipeline.evaluation.plots import plot_per_query
from pipeline.evaluation.significance import Significance
from pipeline.files import write_csv, write_json
from pipeline.retrieval.run import Run
from pipeline.retrieval.trec import write_trec

METRICS = "metrics.json"
LATENCY = "latency.csv"
QUARTERS = "quarters.csv"
QUARTERS_HEADER = ["query_id", "paragraph_id", "quarter", "cluster"]


@dataclass(frozen=True)
class SystemResult:
    """One system on one split.

    Attributes:
        run: Its rankings.
        scores: What they earned.
        details: What determines them beside the encoder and the data: the index, the hybrid weight and where it was tuned.
        seconds: What took how long; kept out of `metrics.json`, which is the same for the same command.
    """

    run: Run
    scores: Scores
    details: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Several systems on one split of one dataset.

    Attributes:
        dataset: The dataset's name.
        split: The split's name.
        queries: Texts of the judged queries by id; of a qrels file alone, no text is known and the id stands for it.
        documents: How many were searched; None when only run files are known.
        relevant_from: Smallest grade that binary measures count as relevant.
        remove_self_hits: Whether a document with the query's id was removed from results.
        fingerprint: The dataset's, or of the judgements where there is nothing else.
        systems: By name, in the order of the table.
        significance: Which systems differ; None for one system alone.
        remarks: What is to be said of the data and of the encoders, in sentences.
        groups: Of an experiment on the dataset: query id, id of its document, group and cluster, a row each.
        latency: How long the encoders take for queries, where that was asked for; like all durations kept out of
            `metrics.json`.
    """

    dataset: str
    split: str
    queries: dict[str, str]
    documents: int | None
    relevant_from: int
    remove_self_hits: bool
    fingerprint: str
    systems: dict[str, SystemResult]
    significance: Significance | None = None
    latency: Latencies | None = None
    remarks: Sequence[str] = ()
    groups: Sequence[tuple[str, str, str, str]] = ()

    def metrics(self, training: dict[str, Any]) -> dict[str, Any]:
        """Put everything that the table says into one JSON-like value, the form of `metrics.json`."""
        first = next(iter(self.systems.values())).scores
        return {
            "dataset": self.dataset,
            "split": self.split,
            "queries": len(first.query_ids),
            "documents": self.documents,
            "measures": first.measures,
            "relevant_from": self.relevant_from,
            "remove_self_hits": self.remove_self_hits,
            "fingerprint": self.fingerprint,
            "remarks": list(self.remarks),
            "systems": {name: system.scores.means() for name, system in self.systems.items()},
            "details": {name: _details(system) for name, system in self.systems.items()},
            "significance": asdict(self.significance) if self.significance else None,
            "training": training,
        }


@dataclass(frozen=True)
class Prepared:
    """An evaluation of which everything has been opened and checked.

    Attributes:
        inputs: Fingerprints of what it is made from, by what they are of.
        score: Does the work.
        encoders: Systems that are a model alone, in the order of the models.
    """

    inputs: Mapping[str, str]
    score: Callable[[], Results]
    encoders: Sequence[str] = ()


def _details(system: SystemResult) -> dict[str, Any]:
    counts = {"queries_without_results": system.scores.without_results, "unjudged_queries": system.scores.unjudged}
    return system.details | {name: count for name, count in counts.items() if count}


def write_results(
    results: Results,
    folder: Path,
    training: dict[str, Any] | None = None,
    plotted: tuple[str, str] | None = None,
    with_runs: bool = True,
) -> dict[str, Any]:
    """Write everything, `metrics.json` last: a folder that has it is finished; see `write_evidence`.

    Returns:
        What `metrics.json` holds.
    """
    metrics = write_evidence(results, folder, training, plotted, with_runs)
    write_json(folder / METRICS, metrics)
    return metrics


def write_evidence(
    results: Results,
    folder: Path,
    training: dict[str, Any] | None = None,
    plotted: tuple[str, str] | None = None,
    with_runs: bool = True,
) -> dict[str, Any]:
    """Write runs, CSV files and plots: all but `metrics.json`.

    Args:
        results: What was found.
        folder: The run folder.
        training: What `metrics.json` says about the training.
        plotted: Two systems whose queries are compared in `plots/per_query.png`; None: no plot.
        with_runs: Whether the rankings are written too; not where they came from files.

    Returns:
        What `metrics.json` shall hold.

    Raises:
        UserError: When the disk is full or the folder may not be written.
    """
    for name, system in results.systems.items() if with_runs else ():
        write_trec(system.run, folder / "runs" / f"{results.split}.{name}.trec")
    measures = next(iter(results.systems.values())).scores.measures
    recall = list(dict.fromkeys(at for system in results.systems.values() for at in recall_of(system.details)))
    header = ["dataset", "split", "system", *measures, *(f"{at} of exact search" for at in recall)]
    write_csv(folder / "results.csv", header, _result_rows(results, recall))
    write_csv(folder / "per_query.csv", ["query_id", "query", "system", *measures], _query_rows(results))
    if results.groups:
        write_csv(folder / QUARTERS, QUARTERS_HEADER, results.groups)
    if plotted:
        _plot(results, plotted, folder / "plots" / "per_query")
    if results.latency:
        write_csv(folder / LATENCY, HEADER, results.latency.rows())
        quality = {name: system.scores.means()[measures[0]] for name, system in results.systems.items()}
        plot_quality_latency(results.latency, quality, measures[0], folder / "plots" / "quality_latency")
    write_json(folder / "timings.json", {name: system.seconds for name, system in results.systems.items()})
    return results.metrics(training or {})


def _result_rows(results: Results, recall: Sequence[str]) -> Iterator[list[Any]]:
    for name, system in results.systems.items():
        means, shares = system.scores.means(), recall_of(system.details)
        figures = [f"{means[measure]:.6f}" for measure in system.scores.measures]
        figures += [f"{shares[at]:.6f}" if at in shares else "" for at in recall]
        yield [results.dataset, results.split, name, *figures]


def _query_rows(results: Results) -> Iterator[list[Any]]:
    for name, system in results.systems.items():
        for row, query_id in enumerate(system.scores.query_ids):
            values = [f"{system.scores.per_query[measure][row]:.6f}" for measure in system.scores.measures]
            yield [query_id, results.queries.get(query_id, ""), name, *values]


def _plot(results: Results, systems: tuple[str, str], path: Path) -> None:
    before, after = (results.systems[name].scores for name in systems)
    measure = before.measures[0]
    texts = [results.queries.get(query_id, f"query {query_id}") for query_id in before.query_ids]
    plot_per_query(before.per_query[measure], after.per_query[measure], texts, systems, measure, path)
