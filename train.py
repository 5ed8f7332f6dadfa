"""Run one cell of the grid: dataset x encoders x stage -> a run folder.

`python train.py` fine-tunes and scores the defaults; `python train.py --help` lists what can be composed.
"""

from omegaconf import DictConfig

from pipeline.entry import entry_point


def advice(key: str) -> str | None:
    """Say what to give in the place of a setting that there is not."""
    from pipeline.training.trainer import instead_of  # late, as below

    return instead_of(key)


@entry_point("train", advice)
def main(config: DictConfig) -> float | None:
    """Train, index and score; return the best validation, for sweepers that optimise it."""
    from pipeline.training.cell import run_cell  # late: help and composition must not wait for torch

    return run_cell(config)


if __name__ == "__main__":
    main()
