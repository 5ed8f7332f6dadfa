"""A cell that the launcher lost: its process ended without a word."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from pipeline.errors import UserError


def lost(overrides: Sequence[str], sentence: str) -> JobReturn:
    """Give what Hydra's launchers give for a cell that failed, so that the others are waited for.

    Args:
        overrides: The cell's.
        sentence: What became of its process, and where to look.
    """
    returned = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    returned.return_value = UserError(sentence)
    return returned
