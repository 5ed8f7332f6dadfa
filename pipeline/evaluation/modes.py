"""What `evaluate.py` is asked for, and which of its settings have a say in that."""

from collections.abc import Sequence

from omegaconf import DictConfig

from pipeline.errors import UserError

MODES = ("models", "run_files", "sweep", "compare")
WITH_RUN_FILES = ("qrels", "relevant_from")
TESTS = ("measures", "test", "baseline", "level")
IDLE = {"tables", "latency", "hydra", *MODES}
"""Settings that are refused elsewhere where they cannot be meant, or say where things go."""
USED = {"run_files": {*WITH_RUN_FILES, *TESTS, "folder"}, "sweep": set[str](), "compare": {"folder"}}
"""Settings that count beside each; beside `models` all but those of run files do."""


def require_used(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse settings on the command line that would change nothing.

    Args:
        config: The composed configuration of `conf/evaluate.yaml`.
        overrides: What the command line gives beside it, as `key=value`.

    Raises:
        UserError: Naming the first.
    """
    asked = [mode for mode in MODES if config[mode]]
    if len(asked) != 1:
        return
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        group = key.partition("@")[0].partition(".")[0].partition("/")[0]
        used = group not in WITH_RUN_FILES if asked == ["models"] else group in USED[asked[0]]
        if not used and group not in IDLE:
            raise UserError(f"{key} would change nothing beside {asked[0]}=…, which makes no use of it; leave it out.")
