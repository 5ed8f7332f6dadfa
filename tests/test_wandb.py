"""What W&B's offline folders hold, and the sweeps that its agents run."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.errors import UserError
from tests.test_train import ROOT, kill_after_a_checkpoint, pairs, settings_of, tiny_bert, train  # noqa: F401

SWEEPS = sorted((ROOT / "multirun_sweeps" / "wandb").glob("*.yaml"))


def records_of(path: Path) -> list[Any]:
    """Read what W&B recorded offline, once its own process, which may be behind, has written what run it is."""
    until, found = time.monotonic() + 30, read_records(path)
    while not any(record.HasField("run") for record in found) and time.monotonic() < until:
        time.sleep(0.1)
        found = read_records(path)
    return found


def read_records(path: Path) -> list[Any]:
    """Read a log in LevelDB's format, after a header of seven bytes, of W&B's own messages.

    Records are cut into pieces at every 32 KiB; each piece has a checksum, a length and a kind (1 whole, 2 first, 3
    middle, 4 last) before it.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, pieces, records = path.read_bytes(), 7, b"", []
    while place < len(content):
        left = 32_768 - place % 32_768
        if left < 7:
            place += left
            continue
        if len(content) < place + 7:
            break  # is being written
        length, kind = struct.unpack_from("<HB", content, place + 4)
        if len(content) < place + 7 + length:
            break
        pieces += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(pieces)
            records.append(record)
            pieces = b""
    return records


def run_of(records: list[Any]) -> Any:
    (run,) = [record.run for record in records if record.HasField("run")]
    return run


def rows_of(records: list[Any], key: str) -> dict[int, float]:
    """Give the values of one figure by W&B's step."""
    rows = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in r.history.item} for r in records]
    return {row["_step"]: row[key] for row in rows if key in row}


def summary_of(records: list[Any]) -> dict[str, Any]:
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for r in records for item in r.summary.update}


def test_what_an_offline_run_holds(tiny_bert, pairs, tmp_path):  # noqa: F811
    done = train(*settings_of(tiny_bert, pairs, tmp_path / "run", "logger=wandb", "trainer.max_steps=10"))
    assert done.returncode == 0, done.stderr
    (recorded,) = (tmp_path / "run").rglob("*.wandb")
    records = records_of(recorded)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())

    run = run_of(records)
    assert run.run_id == json.loads((tmp_path / "run" / "wandb_run.json").read_text())["id"]
    assert run.display_name == "run"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["stage"], config["pooling"], config["stage/batch_size"], config["seed"]) == ("dpr", "own", 16, 0)
    plain = {key: value for key, value in config.items() if key != "_wandb"}
    assert all(value is None or isinstance(value, str | int | float) for value in plain.values())
    assert not any("_target_" in key or "." in key for key in plain)

    assert config["dataset"] == "jsonl" and config["dataset/name"] == metrics["dataset"] == "pairs"
    rows = [item for record in records for item in record.history.item]
    kinds = {item.nested_key[0]: json.loads(item.value_json) for item in rows if [*item.nested_key[1:]] == ["_type"]}
    pictures = {f"plots/{path.stem}": "image-file" for path in (tmp_path / "run" / "plots").glob("*.png")}
    assert kinds == {"results": "table-file", "per_query": "table-file", **pictures} and "plots/per_query" in kinds
    validations = {row["step"]: row["ndcg@10"] for row in metrics["training"]["curves"]["validation"]}
    assert rows_of(records, "validation/ndcg@10") == validations
    losses = {row["step"]: row["loss"] for row in metrics["training"]["curves"]["loss"]}
    assert rows_of(records, "train/loss") == losses

    summary = summary_of(records)
    for system, means in metrics["systems"].items():
        assert {name: summary[f"{system}/{name}"] for name in means} == means
    assert summary["validation/best"] == metrics["training"]["validation"]["ndcg@10"]

    found = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", str(recorded.parent)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert run.run_id in found.stdout + found.stderr


def test_a_killed_run_goes_on_as_the_same_run_with_the_same_steps(tiny_bert, pairs, tmp_path):  # noqa: F811
    arguments = settings_of(tiny_bert, pairs, tmp_path / "run", "logger=wandb")
    kill_after_a_checkpoint(arguments, tmp_path / "run" / "checkpoint", 0.1)
    done = train(*arguments)
    assert done.returncode == 0, done.stderr
    first, second = (records_of(path) for path in sorted((tmp_path / "run").rglob("*.wandb"), key=os.path.getmtime))
    given = json.loads((tmp_path / "run" / "wandb_run.json").read_text())["id"]
    # W&B writes in blocks, and of a run that was killed soon there may be none.
    assert {run_of(records).run_id for records in (first, second) if records} == {given}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    losses = {row["step"]: row["loss"] for row in metrics["training"]["curves"]["loss"]}
    validations = {row["step"]: row["ndcg@10"] for row in metrics["training"]["curves"]["validation"]}
    assert rows_of(second, "train/loss") == losses
    assert rows_of(second, "validation/ndcg@10") == validations
    # Uploaded one after the other they are one curve: steps that both have recorded have the same values.
    assert rows_of(first, "train/loss").items() <= losses.items()


def test_cells_of_a_sweep_are_one_group_of_runs_named_by_their_overrides(tiny_bert, pairs, tmp_path):  # noqa: F811
    settings = settings_of(tiny_bert, pairs, tmp_path / "unused")
    settings = [word for word in settings if not word.startswith(("folder=", "stage.learning_rate="))]
    sweep = tmp_path / "cells"
    # The cell in the middle fails in the same process; the one after it has a run of its own all the same.
    rates = "stage.learning_rate=0.001,1e30,0.01"
    ended = train(
        "-m", rates, f"hydra.sweep.dir={sweep}", *settings, "logger=wandb", "trainer.max_steps=4",
        "trainer.gradient_clip_val=null", "stage.validate_every=1",
    )  # fmt: skip
    assert ended.returncode == 2
    runs = {path.parents[2].name: run_of(records_of(path)) for path in sweep.rglob("*.wandb")}
    assert len(runs) == len({run.run_id for run in runs.values()}) == 3
    assert {run.run_group for run in runs.values()} == {"cells"}
    for folder, run in runs.items():
        assert run.display_name == folder[-128:]
        assert "rate-" in run.display_name  # W&B takes the last 128 letters


def test_a_run_of_an_agent_keeps_the_id_that_the_agent_gave(tmp_path, monkeypatch):
    from pipeline.evaluation.loggers import wandb_logger

    monkeypatch.setenv("WANDB_RUN_ID", "of-the-agent")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = wandb_logger(tmp_path, "name", {}, None, "offline", "tandem", None, None, [])
    logger.experiment.finish()
    (recorded,) = tmp_path.rglob("*.wandb")
    assert run_of(records_of(recorded)).run_id == "of-the-agent"


@pytest.mark.parametrize(
    ("environment", "mode", "recorded"),
    [("disabled", None, 0), ("disabled", "offline", 1), ("offline", "disabled", 0), (None, None, 1)],
)
def test_the_environment_says_the_mode_that_the_command_leaves_open(environment, mode, recorded, tmp_path, monkeypatch):
    from pipeline.evaluation.loggers import wandb_logger

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_SILENT", "true")
    if environment is not None:
        monkeypatch.setenv("WANDB_MODE", environment)
    wandb_logger(tmp_path, "name", {}, None, mode, "tandem", None, None, []).experiment.finish()
    assert len([*tmp_path.rglob("*.wandb")]) == recorded


def test_a_mode_that_there_is_not_is_refused(tmp_path, monkeypatch):
    from pipeline.evaluation.loggers import wandb_logger

    monkeypatch.setenv("WANDB_MODE", "nonsense")
    with pytest.raises(UserError, match="WANDB_MODE=nonsense is unknown"):
        wandb_logger(tmp_path, "name", {}, None, None, "tandem", None, None, [])


def test_the_address_of_an_online_run_is_said(tmp_path, monkeypatch, capsys):
    import wandb

    from pipeline.evaluation.loggers import wandb_logger

    # What an account would give: W&B's own disabled run, with an address.
    run = wandb.init(mode="disabled")
    monkeypatch.setattr(type(run), "url", "https://somewhere/tandem/runs/1")
    run.finish()
    wandb_logger(tmp_path, "name", {}, None, "disabled", "tandem", None, None, []).experiment.finish()
    assert "W&B shows this run at https://somewhere/tandem/runs/1" in capsys.readouterr().err


def sides(parameter: dict[str, Any]) -> list[Any]:
    return parameter["values"] if "values" in parameter else [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_for_agents_composes_with_the_real_configuration(path):
    sweep = yaml.safe_load(path.read_text())
    assert sweep["method"] in ("bayes", "grid", "random") and sweep["parameters"]
    assert (ROOT / sweep["program"]).exists()
    assert sweep["metric"] == {"name": "validation/best", "goal": "maximize"}
    fixed = [word for word in sweep["command"] if not word.startswith("${")]
    assert "${args_no_hyphens}" in sweep["command"]
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        for key, parameter in sweep["parameters"].items():
            for value in sides(parameter):
                config = compose("train", overrides=[*fixed, f"{key}={value}"])
                assert config.logger.mode == "online"
                if "." in key or key == "seed":
                    assert OmegaConf.select(config, key) == value
