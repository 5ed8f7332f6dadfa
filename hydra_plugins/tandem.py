"""Where Hydra looks for sweepers and launchers: it takes plugins from this package alone."""

from importlib.util import find_spec

from pipeline.sweeping import grid, jobs, tuning


class GridSweeper(grid.GridSweeper):
    """Every combination of the axes, each in a run folder of its own; what is finished is not run again."""


class JobSweeper(jobs.JobSweeper):
    """Every combination of the axes, each a job of `evaluate.py` or `probe.py` with a folder of its own."""


class TuningSweeper(tuning.TuningSweeper):
    """Trials proposed by what those before them reached on the validation split."""


if find_spec("submitit") and find_spec("hydra_plugins.hydra_submitit_launcher"):
    from pipeline.sweeping import slurm

    class SlurmLauncher(slurm.SlurmLauncher):
        """Every cell a job of a Slurm cluster."""


if find_spec("ray") and find_spec("hydra_plugins.hydra_ray_launcher"):
    from pipeline.sweeping import ray

    class RayLauncher(ray.RayLauncher):
        """Every cell a task of a Ray cluster."""
