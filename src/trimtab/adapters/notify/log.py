"""``LogNotifier``: notices as lines of JSON in a file; used where nothing else is set."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from trimtab.core.domain.errors import ExternalError
from trimtab.ports import Notice


class _Sent(msgspec.Struct, frozen=True):
    """What is looked at of a line."""

    id: str


class LogNotifier:
    """The ``Notifier`` port over a file. A second notice of the same id is dropped, also after a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: set[str] | None = None

    def send(self, notice: Notice) -> None:
        """Append the notice; durable on return.

        Raises:
            ExternalError: the disk refused.
        """
        try:
            if self._ids is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._ids = self._sent()
            if notice.id in self._ids:
                return
            self._append(msgspec.json.encode(notice))
            self._ids.add(notice.id)
        except OSError as error:
            raise ExternalError(f"{self._path}: {error.strerror or error}") from error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # What a crash cut off stays a line of its own.
            end = os.lseek(descriptor, 0, os.SEEK_END)
            torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sent(self) -> set[str]:
        if not self._path.exists():
            return set()
        ids = set()
        for line in self._path.read_bytes().splitlines():
            try:
                ids.add(msgspec.json.decode(line, type=_Sent).id)
            except msgspec.DecodeError:
                continue  # cut off by a crash: that notice was not delivered
        return ids
