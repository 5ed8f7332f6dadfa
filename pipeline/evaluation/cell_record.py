"""What became of a cell: running, done or failed, in a small file of its run folder."""

import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError, sentence_of
from pipeline.files import disk_errors, read_json, write_json

RECORD = "cell.json"
SWEEP = "sweep.json"
"""Where a sweep lists its cells, in its folder."""


@dataclass(frozen=True)
class CellRecord:
    """The last attempt at a cell.

    Attributes:
        state: `running` stays when the process is killed; the lock on the run folder is free then.
        sentence: Why it failed.
        started: When the attempt began, ISO 8601 in UTC.
        seconds: That ended attempts took together.
        host: Where it ran.
        pid: Its process there.
    """

    state: Literal["running", "done", "failed"]
    sentence: str | None
    started: str
    seconds: float
    host: str
    pid: int

    def write(self, folder: Path) -> None:
        """Write the record into a run folder."""
        write_json(folder / RECORD, asdict(self))


def read_record(folder: Path) -> CellRecord | None:
    """Read the record of a run folder; None where there is none, or one that cannot be understood."""
    if not (folder / RECORD).exists():
        return None
    try:
        return CellRecord(**read_json(folder / RECORD))
    except (UserError, TypeError):  # of another version
        return None


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Record an attempt at a cell: that it is running, and how it ends; a failure's traceback goes to `log.txt`.

    Args:
        folder: The run folder, which the caller holds.
    """
    before = read_record(folder)
    earlier = before.seconds if before else 0.0
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")

    def write(state: Literal["running", "done", "failed"], sentence: str | None = None) -> None:
        seconds = round(earlier + time.monotonic() - began, 3)
        CellRecord(state, sentence, started, seconds, socket.gethostname(), os.getpid()).write(folder)

    write("running")
    try:
        yield
    except Exception as error:
        with disk_errors(folder), open(folder / "log.txt", "a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
        write("failed", sentence_of(error))
        raise
    write("done")
