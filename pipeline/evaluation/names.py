"""Names of systems, made of the paths that they come from."""

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Name paths by their last part, or by as many as it takes to tell them apart.

    Returns:
        Names without white space or slashes, fit for file names and a run's tag.

    Raises:
        UserError: When a path is there twice.
    """
    twice = [path for path in paths if list(paths).count(path) > 1]
    if twice:
        raise UserError(f"{twice[0]} is given twice; name it once.")
    taken = 1
    longest = max((len(path.parts) for path in paths), default=1)
    while taken < longest and len({path.parts[-taken:] for path in paths}) < len(paths):
        taken += 1
    return [re.sub(r"[\s/\\]+", "_", "/".join(path.parts[-taken:])) for path in paths]
