"""Cells as jobs of a Slurm cluster, through submitit: waited for until the last, whatever becomes of each."""

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher import submitit_launcher
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

from pipeline.errors import UserError
from pipeline.sweeping.lost import lost

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_FOR_AN_ANSWER = 60
SECONDS_FOR_A_RESULT = 15
"""A result may take this long to be seen through a shared file system after its job has left the queue."""


class SlurmLauncher(submitit_launcher.SlurmLauncher):
    """Every cell a job of one job array.

    Hydra's own launcher asks Slurm's accounting, which many clusters do not keep, and leaves at the first job that was
    lost; this one asks the queue, and waits for all.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the cells and wait for them.

        Returns:
            For every cell what it returned, or that it failed or was lost.

        Raises:
            UserError: When there is no Slurm, it does not answer, or it refuses the jobs.
        """
        queued_jobs()
        assert self.config is not None
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = self._submit(job_overrides, initial_job_idx)
        array = str(jobs[0].job_id).partition("_")[0]
        print(f"Slurm has the cells as job {array}; scancel {array} gives them up.", file=sys.stderr, flush=True)
        wait_for(jobs)
        return [_returned(job, overrides) for job, overrides in zip(jobs, job_overrides, strict=True)]

    def _submit(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        import submitit  # late: Hydra looks for its launchers at every start

        settings = dict(self.params)
        folder, retries = settings.pop("submitit_folder"), settings.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=retries)
        for_every_cluster = {field.name for field in fields(BaseQueueConf)}
        executor.update_parameters(
            **{name if name in for_every_cluster else f"slurm_{name}": value for name, value in settings.items()}
        )
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        state = Singleton.get_state()
        arguments = [
            (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
            for overrides, number in zip(job_overrides, numbers, strict=True)
        ]
        try:
            return executor.map_array(self, *zip(*arguments, strict=True))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(
                f"Slurm refuses the jobs ({' '.join(str(error).split())}); see hydra.launcher in conf/launcher/slurm.yaml."
            ) from error


def queued_jobs() -> set[str]:
    """Ask Slurm which jobs it has, waiting or running: their ids, `ARRAY_TASK` for those of an array.

    Raises:
        UserError: When there is no Slurm here, or it does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    command += ["--states=PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED,REQUEUED,REQUEUE_HOLD,PREEMPTED,RESIZING"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_FOR_AN_ANSWER, check=True)
    except FileNotFoundError as error:
        raise UserError(
            "launcher=slurm needs Slurm's commands, and squeue is not here; give the command on a login node of the "
            "cluster, or choose launcher=joblib."
        ) from error
    except subprocess.CalledProcessError as error:
        raise UserError(_away(" ".join(error.stderr.split()))) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(_away(f"no answer to squeue in {SECONDS_FOR_AN_ANSWER} seconds")) from error
    return set(answer.stdout.split())


def _away(why: str) -> str:
    return (
        f"Slurm does not answer ({why}); look with `scontrol ping`, and give the same command again when it does, or "
        "choose launcher=joblib."
    )


def wait_for(jobs: Iterable[Any]) -> None:
    """Wait until every job has left its result or the queue."""
    waiting = {str(job.job_id): job for job in jobs}
    last_seen = dict.fromkeys(waiting, time.monotonic())
    while waiting:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            queued = queued_jobs()
        except UserError:  # what runs goes on without the controller; so do we
            queued = set(waiting)
        now = time.monotonic()
        last_seen.update(dict.fromkeys(queued & waiting.keys(), now))
        for name, job in list(waiting.items()):
            # Reading the folder anew makes a network file system look again.
            results = {path.name for path in job.paths.folder.glob("*_result.pkl")}
            if job.paths.result_pickle.name in results or now - last_seen[name] > SECONDS_FOR_A_RESULT:
                del waiting[name]


def _returned(job: Any, overrides: Sequence[str]) -> JobReturn:
    """Read what a cell returned, where it could."""
    log = job.paths.stderr
    if not job.paths.result_pickle.exists():
        return lost(
            overrides,
            f"Slurm job {job.job_id} ended without a result (cancelled, killed, or its node was lost); see {log}.",
        )
    from submitit.core.utils import pickle_load

    outcome, result = pickle_load(job.paths.result_pickle)
    if outcome == "error":
        return lost(overrides, f"Slurm job {job.job_id} failed: {result.strip().splitlines()[-1]} (see {log}).")
    return result
