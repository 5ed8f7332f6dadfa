"""Files that are whole or absent: written beside their place, then renamed into it."""

import csv
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from pipeline.errors import UserError

KINDS = {str: "text", int: "whole number", dict: "object"}
"""What JSON's values are called in a sentence."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into one sentence that names the path.

    Raises:
        UserError: When the disk is full or the path may not be written.
    """
    try:
        yield
    except Exception as error:
        # Libraries that write for us, safetensors and Arrow among them, have errors of their own for a full disk; numpy's
        # says how much was "requested and" how much written, and no more.
        code = getattr(error, "errno", None)
        own = "No space left on device" in str(error) or (isinstance(error, OSError) and "requested and" in str(error))
        if code in (errno.ENOSPC, errno.EDQUOT) or own:
            raise UserError(
                f"The disk that holds {path} is full; free some space and give the same command again to continue."
            ) from error
        if code in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"{path} may not be written; choose another folder or change its permissions.") from error
        raise


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside `path` and rename it into place only when everything was written.

    Args:
        path: The final place; its folder is made when missing.
        mode: `w` for UTF-8 text or `wb` for bytes.

    Raises:
        UserError: When the disk is full or the path may not be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows as CSV, atomically; None becomes an empty field."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: When the file is missing, is not UTF-8 or is not JSON; the sentence names file and line.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; check the path.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder where a JSON file is expected.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); convert it to UTF-8.") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: malformed JSON ({error.msg}); mend or replace the file."
        ) from error


def read_object(path: Path, **kinds: type) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: The file.
        kinds: What fields must be where they are there and not null: `str`, `int`, `dict`.

    Raises:
        UserError: As for `read_json`; also when it holds something else, or a field does.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no object; mend or replace the file.")
    require_kinds(f"{path} has", found, kinds)
    return found


def require_kinds(where: str, found: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Refuse fields of JSON that hold something else than they must; null is taken for a field that is not there.

    Args:
        where: What the sentence begins with.
        found: The fields.
        kinds: What they must be.

    Raises:
        UserError: Naming the first.
    """
    for name, kind in kinds.items():
        if not isinstance(found.get(name), kind | None):
            raise UserError(f"{where} {name}={json.dumps(found[name])}, which is no {KINDS[kind]}; mend the file.")


def digest_of(value: object) -> str:
    """Fingerprint a JSON-like value: the SHA-256, in hexadecimal, of its canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """Fingerprint a file: the SHA-256 of its bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_locked(path: Path) -> bool:
    """Tell whether another holder has the lock of `locked`; a holder that died has it no longer."""
    place = Path(f"{path}.lock")
    if not place.exists():
        return False
    try:
        with FileLock(place, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold an exclusive lock on `path` + `.lock`; the system frees it when its holder dies.

    Args:
        path: What is guarded; the lock file lies beside it.
        waiting_for: What to say on the terminal when another process holds the lock, such as `the table of …`.
    """
    lock = FileLock(f"{path}.lock")
    with disk_errors(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            print(f"Waiting for {waiting_for}, which another process is making.", flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
