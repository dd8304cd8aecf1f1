"""One process at a time: a lock that goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.core.domain.errors import ExternalError, RefusedError


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold ``path`` for this process.

    Args:
        path: the lock file; it holds the process id of who has it and stays when the process ends.
        what: names the process in the refusal, e.g. ``trimtab up``.

    Raises:
        RefusedError: another living process holds it; it is named.
        ExternalError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ExternalError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise RefusedError(f"'{what}' runs for this project already: process {holder}") from None
        _write(path, descriptor)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise ExternalError(f"{path} cannot be written: {error.strerror or error}") from error
