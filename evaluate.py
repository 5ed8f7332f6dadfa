"""Score models on a dataset, or run files against judgements, and compare them.

`python evaluate.py models=[outputs/demo] dataset=python_docs`,
`python evaluate.py run_files=[a.trec,b.trec] qrels=qrels.txt`, or, for a report on finished folders,
`python evaluate.py compare=[outputs/collapse_quick]`; `python evaluate.py --help` lists every setting.
"""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.entry import entry_point
from pipeline.evaluation.modes import require_used


@entry_point("evaluate")
def main(config: DictConfig) -> None:
    """Score, compare, write the results and print their table."""
    from pipeline.evaluation.result_folder import require_place  # late: help and composition must not wait for torch

    require_used(config, HydraConfig.get().overrides.task)
    require_place(config, HydraConfig.get())
    if config.compare is not None:
        from pipeline.reporting.command import report

        report(config)
        return
    from pipeline.evaluation.command import evaluate

    evaluate(config)


if __name__ == "__main__":
    main()
