"""The same sweep under every launcher: the same bits, whatever becomes of single cells."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from pipeline.errors import UserError
from pipeline.training.devices import use_threads
from tests.test_train import ROOT, pairs, settings_of, sha256, tiny_bert  # noqa: F401

RATES = ("0.001", "0.01")
"""Learning rates of the cells that are finished; the folder of a cell is named by it."""
BROKEN = "1e+30"
"""A learning rate that makes the loss no number after some steps."""


def arguments_of(launcher: str, tiny_bert: Path, pairs: Path, folder: Path, *more: str) -> list[str]:  # noqa: F811
    return [
        "-m",
        *settings_of(tiny_bert, pairs, folder / "${stage.learning_rate}"),
        "trainer.max_steps=10",
        "trainer.gradient_clip_val=null",
        f"tables={folder / 'tables'}",
        f"hydra.sweep.dir={folder}",
        f"launcher={launcher}",
        "threads=1",
        *more,
    ]


def sweep(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
    )


def without_plugins(*arguments: str) -> str:
    """Give the command where no launcher's package is installed, and return what it said."""
    # Hydra finds launchers in the packages of this namespace: only the project's own is left in it.
    code = "import hydra_plugins, runpy; hydra_plugins.__path__ = ['hydra_plugins']; runpy.run_path('train.py', run_name='__main__')"
    refused = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    return refused.stderr


@pytest.fixture(scope="module")
def undisturbed(tiny_bert, pairs, tmp_path_factory) -> dict[str, str]:  # noqa: F811
    """Fingerprints of the cells' metrics.json, one cell after the other in one process."""
    folder = tmp_path_factory.mktemp("local")
    done = sweep(*arguments_of("local", tiny_bert, pairs, folder, f"stage.learning_rate={','.join(RATES)}"))
    assert done.returncode == 0, done.stderr
    return {rate: sha256(folder / rate / "metrics.json") for rate in RATES}


@pytest.fixture
def slurm() -> None:
    answer = subprocess.run("squeue", shell=True, capture_output=True)
    if answer.returncode:
        pytest.skip("there is no Slurm here; give `make slurm-test`, which starts one")


@pytest.fixture
def ray() -> str:
    """The address of a Ray that runs."""
    if "TANDEM_RAY" not in os.environ:
        pytest.skip("there is no Ray here; give `make ray-test`, which starts one")
    return os.environ["TANDEM_RAY"]


def require_equal_beside_a_broken_cell(launcher, undisturbed, tiny_bert, pairs, folder, *more: str) -> None:  # noqa: F811
    rates = f"stage.learning_rate={RATES[0]},{BROKEN},{RATES[1]}"
    ended = sweep(*arguments_of(launcher, tiny_bert, pairs, folder, rates, *more))
    assert ended.returncode == 2, ended.stderr
    assert "The loss became" in ended.stderr
    assert {rate: sha256(folder / rate / "metrics.json") for rate in RATES} == undisturbed
    assert not (folder / BROKEN / "metrics.json").exists()


@pytest.mark.slow
def test_joblib_gives_the_same_bits_beside_a_cell_that_fails(undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    require_equal_beside_a_broken_cell("joblib", undisturbed, tiny_bert, pairs, tmp_path, "hydra.launcher.n_jobs=2")


@pytest.mark.slurm
def test_slurm_gives_the_same_bits_beside_a_cell_that_fails(slurm, undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    require_equal_beside_a_broken_cell("slurm", undisturbed, tiny_bert, pairs, tmp_path, "hydra.launcher.mem_gb=1")
    assert list((tmp_path / ".slurm").glob("*/*_log.err"))


@pytest.mark.ray
def test_a_ray_of_its_own_gives_the_same_bits_beside_a_cell_that_fails(undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    require_equal_beside_a_broken_cell("ray", undisturbed, tiny_bert, pairs, tmp_path)


@pytest.mark.ray
def test_a_running_ray_gives_the_same_bits(ray, undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    # Started in another folder: relative paths are meant from where the command is given all the same.
    folder = Path(os.path.relpath(tmp_path, ROOT))
    done = sweep(
        *arguments_of("ray", tiny_bert, pairs, folder, f"stage.learning_rate={','.join(RATES)}"),
        f"hydra.launcher.ray.init.address={ray}",
    )
    assert done.returncode == 0, done.stderr
    assert {rate: sha256(tmp_path / rate / "metrics.json") for rate in RATES} == undisturbed


@contextmanager
def begun(cell: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Start a sweep and wait until one of its cells runs."""
    command = [sys.executable, "train.py", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 200
        while not (cell / "cell.json").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield process
    finally:
        process.kill()


def array_in(folder: Path) -> str:
    """Find the number of the job array that a sweep became."""
    (array,) = {path.name.partition("_")[0] for path in (folder / ".slurm").glob("*_0")}
    return array


@pytest.mark.slurm
def test_a_cancelled_job_is_said_and_the_same_command_finishes_it(slurm, undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = arguments_of("slurm", tiny_bert, pairs, tmp_path, f"stage.learning_rate={','.join(RATES)}")
    arguments += ["hydra.launcher.mem_gb=1"]
    with begun(tmp_path / RATES[0], *arguments) as process:
        subprocess.run(["scancel", "--signal=KILL", f"{array_in(tmp_path)}_0"], check=True)
        _, said = process.communicate(timeout=200)
        assert process.returncode == 2
    assert "ended without" in said, said
    assert (tmp_path / RATES[1] / "metrics.json").exists()
    again = sweep(*arguments)
    assert again.returncode == 0, again.stderr
    assert {rate: sha256(tmp_path / rate / "metrics.json") for rate in RATES} == undisturbed


@pytest.mark.slurm
def test_a_job_at_its_time_limit_is_queued_again_and_goes_on(slurm, undisturbed, tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = arguments_of("slurm", tiny_bert, pairs, tmp_path, f"stage.learning_rate={','.join(RATES)}")
    with begun(tmp_path / RATES[0], *arguments, "hydra.launcher.mem_gb=1") as process:
        # The signal that Slurm sends some time before the limit.
        subprocess.run(["scancel", "--signal=USR2", f"{array_in(tmp_path)}_0"], check=True)
        _, said = process.communicate(timeout=400)
        assert process.returncode == 0, said
    assert {rate: sha256(tmp_path / rate / "metrics.json") for rate in RATES} == undisturbed


@pytest.mark.ray
def test_a_task_whose_process_dies_is_said_and_the_same_command_finishes_it(
    undisturbed,
    tiny_bert,  # noqa: F811
    pairs,  # noqa: F811
    tmp_path,
):
    arguments = arguments_of("ray", tiny_bert, pairs, tmp_path, f"stage.learning_rate={','.join(RATES)}")
    with begun(tmp_path / RATES[0], *arguments) as process:
        os.kill(json.loads((tmp_path / RATES[0] / "cell.json").read_text())["pid"], signal.SIGKILL)
        _, said = process.communicate(timeout=200)
        assert process.returncode == 2
    assert "ended without" in said, said
    assert (tmp_path / RATES[1] / "metrics.json").exists()
    again = sweep(*arguments)
    assert again.returncode == 0, again.stderr
    assert {rate: sha256(tmp_path / rate / "metrics.json") for rate in RATES} == undisturbed


@pytest.mark.parametrize(
    ("launcher", "package"),
    [
        ("joblib", "hydra-joblib-launcher"),
        ("slurm", "hydra-submitit-launcher"),
        ("ray", "hydra-ray-launcher"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named_with_the_command_that_installs_it(launcher, package):
    said = without_plugins("-m", f"launcher={launcher}", "seed=0,1")
    assert said.strip() == (
        f"error: This launcher needs {package}, which is not installed; install it with: pip install {package}"
    )


def test_a_cluster_without_slurm_is_said_in_one_sentence(tmp_path):
    pytest.importorskip("submitit")
    refused = sweep("-m", "launcher=slurm", "seed=0,1", f"hydra.sweep.dir={tmp_path}", PATH="/nowhere")
    assert refused.returncode == 2
    assert "launcher=slurm needs Slurm's commands, and squeue is not here" in refused.stderr.splitlines()[-1]


@pytest.mark.slurm
def test_a_slurm_that_does_not_answer_is_said_in_one_sentence(slurm, tmp_path):
    elsewhere = tmp_path / "slurm.conf"
    own = Path(os.environ["SLURM_CONF"]).read_text()
    elsewhere.write_text(
        own.replace("SlurmctldPort=16817", "SlurmctldPort=16999\nSlurmctldTimeout=5\nMessageTimeout=5")
    )
    sentence = ["-m", "launcher=slurm", "seed=0,1", f"hydra.sweep.dir={tmp_path}"]
    refused = sweep(*sentence, SLURM_CONF=str(elsewhere))
    assert refused.returncode == 2
    assert "Slurm does not answer" in refused.stderr.splitlines()[-1]


@pytest.mark.ray
def test_a_ray_that_is_away_is_said_in_one_sentence(tmp_path):
    refused = sweep(
        "-m",
        "launcher=ray",
        "seed=0,1",
        f"hydra.sweep.dir={tmp_path}",
        "hydra.launcher.ray.init.address=127.0.0.1:26999",
    )
    assert refused.returncode == 2
    assert "Ray at 127.0.0.1:26999 cannot be reached" in refused.stderr.splitlines()[-1]


def test_threads_hold_for_torch_and_for_what_is_loaded_beside_it():
    before = torch.get_num_threads()
    try:
        use_threads(1)
        assert torch.get_num_threads() == 1
        assert {library["num_threads"] for library in threadpool_info()} == {1}
        assert os.environ["OMP_NUM_THREADS"] == "1"
        use_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        use_threads(before)


def test_no_threads_are_refused():
    with pytest.raises(UserError, match="threads=0 must be a whole number of at least 1"):
        use_threads(0)
