"""What `evaluate.py` is asked for, and which of its settings have a say in that."""

import re
from collections.abc import Iterable, Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from pipeline.errors import UserError

MODES = ("models", "run_files", "sweep", "compare")
WITH_RUN_FILES = ("qrels", "relevant_from", "run_columns")
TESTS = ("measures", "test", "baseline", "level")
COMPARING = {"test", "baseline", "level"}
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
    alone = asked == ["run_files"] and OmegaConf.is_list(config.run_files) and len(config.run_files) == 1
    for key, group in keys_and_groups(overrides):
        used = group not in WITH_RUN_FILES if asked == ["models"] else group in USED[asked[0]]
        if not used and group not in IDLE:
            raise UserError(f"{key} would change nothing beside {asked[0]}=…, which makes no use of it; leave it out.")
        if alone and group in COMPARING:
            raise UserError(f"{key} would change nothing: a single run file is compared with nothing; leave it out.")


def keys_and_groups(overrides: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the key of every override of a command line, and the group or setting of the first level that it is part of."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        yield key, re.split("[@./]", key)[0]
