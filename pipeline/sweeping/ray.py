"""Cells as tasks of a Ray cluster: waited for until the last, whatever becomes of each."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides, setup_globals
from hydra_plugins.hydra_ray_launcher import ray_launcher
from omegaconf import OmegaConf, open_dict

from pipeline.errors import UserError
from pipeline.sweeping.lost import lost


class RayLauncher(ray_launcher.RayLauncher):
    """Every cell a task; Hydra's own launcher leaves at the first task whose process died."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hand the cells to Ray and wait for them.

        Returns:
            For every cell what it returned, or that its process died.

        Raises:
            UserError: When the cluster cannot be reached.
        """
        import ray  # late: it takes seconds, and Hydra looks for its launchers at every start
        from ray.exceptions import RayError

        setup_globals()
        assert self.config is not None
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        self._connect()
        tasks = [self._task(overrides, initial_job_idx + place) for place, overrides in enumerate(job_overrides)]
        returned: list[JobReturn] = []
        for task, overrides in zip(tasks, job_overrides, strict=True):
            try:
                returned.append(ray.get(task))
            except RayError as error:
                died = " ".join(str(error).split())
                returned.append(lost(filter_overrides(overrides), f"Its Ray task ended without a result: {died[:300]}"))
        return returned

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        settings: Any = OmegaConf.to_container(self.ray_cfg.init, resolve=True)
        # Workers of a cluster that runs already know neither our folder nor our environment.
        settings["runtime_env"] = {"env_vars": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}} | settings.get(
            "runtime_env", {}
        )
        try:
            ray.init(**settings)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise UserError(
                f"Ray at {settings['address'] or 'this machine'} cannot be reached ({' '.join(str(error).split())[:300]}); "
                "start it with `ray start --head`, or give hydra.launcher.ray.init.address=null for one of its own."
            ) from error

    def _task(self, overrides: Sequence[str], number: int) -> Any:
        from hydra_plugins.hydra_ray_launcher._launcher_util import launch_job_on_ray

        assert self.config is not None and self.hydra_context is not None and self.task_function is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"job_id_for_{number}", number
        state = Singleton.get_state()
        return launch_job_on_ray(self.hydra_context, self.ray_cfg.remote, config, self.task_function, state)
