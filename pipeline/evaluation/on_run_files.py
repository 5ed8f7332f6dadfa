"""Rankings that are already there, scored against a file of judgements."""

from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline.data.lookup import bare, other_spelling
from pipeline.data.remarks import without_relevant
from pipeline.data.trec_qrels import read_judgements
from pipeline.errors import UserError
from pipeline.evaluation.measures import Judgements, measure, parse_measures, require_relevant
from pipeline.evaluation.names import distinct_names, file_labels, require_once
from pipeline.evaluation.results import Prepared, Results, SystemResult
from pipeline.evaluation.significance import require_baseline
from pipeline.files import digest_of, digest_of_file
from pipeline.retrieval.run import Ranking, Run
from pipeline.retrieval.trec import read_trec, require_columns


def prepare_run_files(config: DictConfig) -> Prepared:
    """Read and score the run files of a configuration: what is wrong with one is known when all have been scored.

    Raises:
        UserError: When a file is missing or malformed, or holds no query that was judged.
    """
    paths = [Path(path).expanduser().absolute() for path in config.run_files]
    require_once(paths)
    labels = file_labels(paths)
    names = distinct_names(labels)
    require_baseline(config.baseline, names)
    require_columns(config.run_columns)
    judgements, repeated = read_judgements(Path(config.qrels))
    require_relevant(judgements, parse_measures(config.measures), config.relevant_from, config.qrels, "relevant_from")
    runs = [
        _as_judged(read_trec(path, name, config.run_columns), judgements)
        for path, name in zip(paths, names, strict=True)
    ]
    if config.run_columns is not None and not any("lines_by_columns" in run.counts for run in runs):
        raise UserError(
            f"run_columns names {len(config.run_columns)} columns and no run file has so many; leave it out."
        )
    measures = list(config.measures)
    systems = {
        run.name: SystemResult(
            run,
            measure(run, judgements, measures, config.relevant_from),
            run.counts | _unjudged(run, judgements) | details,
        )
        for run, details in zip(runs, _sources(config.run_files, labels, names), strict=True)
    }
    results = Results(
        dataset=Path(config.qrels).name,
        split="",
        queries={},
        documents=None,
        relevant_from=config.relevant_from,
        remove_self_hits=False,
        fingerprint=digest_of(judgements),
        systems=systems,
        remarks=[
            *([f"Repeated judgements, read once: {repeated:,}."] if repeated else []),
            *without_relevant(judgements, config.relevant_from),
        ],
    )
    inputs = {f"run file {given}": digest_of_file(path) for given, path in zip(config.run_files, paths, strict=True)}
    return Prepared(inputs | {"judgements": digest_of_file(Path(config.qrels))}, lambda: results)


def _as_judged(run: Run, judgements: Judgements) -> Run:
    """Spell a run's ids as the judgements do where a data frame has left `.0` on the numbers of either; and count that."""
    counts: Counter[str] = Counter()

    def spelled(id_: str, known: Container[str], others: Container[str]) -> str:
        if id_ in known or not bare(id_).isdecimal():
            return id_
        other = other_spelling(id_)
        changed = other in known and other not in others
        counts["ids_as_floats"] += changed
        return other if changed else id_

    rankings, queries = {}, set(run.query_ids)
    for query, ranking in run:
        name = spelled(query, judgements, queries)
        known, found = judgements.get(name, {}), set(ranking.documents)
        rankings[name] = Ranking([spelled(document, known, found) for document in ranking.documents], ranking.scores)
    return Run(run.name, rankings, run.counts | +counts)


def _unjudged(run: Run, judgements: Judgements) -> dict[str, int]:
    """Count the queries of a run of whose results not one is judged: ids of another collection look like that."""
    found = any(document in judgements.get(query, {}) for query, ranking in run for document in ranking.documents)
    return {} if found else {"queries_without_judged_result": len(run)}


def _sources(given: Sequence[str], labels: Sequence[Path], names: Sequence[str]) -> list[dict[str, Any]]:
    """Say which file a run is of, where its name is not the file's."""
    return [
        {} if name == label.name else {"source": str(file)}
        for file, label, name in zip(given, labels, names, strict=True)
    ]
