"""Rankings that are already there, scored against a file of judgements."""

from pathlib import Path

from omegaconf import DictConfig

from pipeline.data.remarks import without_relevant
from pipeline.evaluation.measures import measure, parse_measures, require_relevant
from pipeline.evaluation.names import distinct_names
from pipeline.evaluation.results import Results, SystemResult
from pipeline.evaluation.significance import require_baseline
from pipeline.files import digest_of
from pipeline.retrieval.trec import read_qrels, read_trec


def evaluate_run_files(config: DictConfig) -> Results:
    """Score the run files of a configuration.

    Raises:
        UserError: When a file is missing or malformed, or holds no query that was judged.
    """
    paths = [Path(path).expanduser() for path in config.run_files]
    names = distinct_names([path.with_name(path.stem) for path in paths])
    require_baseline(config.baseline, names)
    judgements = read_qrels(Path(config.qrels))
    require_relevant(judgements, parse_measures(config.measures), config.relevant_from, config.qrels, "relevant_from")
    runs = [read_trec(path, name) for path, name in zip(paths, names, strict=True)]
    measures = list(config.measures)
    return Results(
        dataset=Path(config.qrels).name,
        split="",
        queries={},
        documents=None,
        relevant_from=config.relevant_from,
        remove_self_hits=False,
        fingerprint=digest_of(judgements),
        systems={
            run.name: SystemResult(run, measure(run, judgements, measures, config.relevant_from), run.counts)
            for run in runs
        },
        remarks=without_relevant(judgements, config.relevant_from),
    )
