"""Two small files beside the journal: what the controller last saw, and up to where people were told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.adapters.atomic import write_aside
from trimtab.core.domain.errors import ExternalError


class FileView:
    """What the running controller saw at its last tick, as JSON. Lost without harm: the next tick writes it again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, seen: dict[str, Any]) -> None:
        _write(self._path, json.dumps(seen, separators=(",", ":")).encode())

    def load(self) -> dict[str, Any] | None:
        try:
            seen: object = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):  # damaged is as good as lost: the next tick writes it again
            return None
        except OSError as error:
            raise ExternalError(f"{self._path} cannot be read: {error.strerror or error}") from error
        return seen if isinstance(seen, dict) else None


class FileShelf:
    """A snapshot of the journal's fold (``trimtab.controller.standing``). Lost without harm."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ExternalError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def save(self, content: bytes) -> None:
        _write(self._path, content)


class FileOutbox:
    """The number of the last decision whose alerts were sent. A crash in between sends once more, never less."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def delivered(self) -> int:
        try:
            return int(self._path.read_text())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise ExternalError(
                f"{self._path} cannot be read: {error}; it holds the number of the last decision whose messages were "
                "sent: write that number (0 sends all messages again)"
            ) from error

    def deliver(self, seq: int) -> None:
        _write(self._path, str(seq).encode())


def _write(path: Path, content: bytes) -> None:
    try:
        write_aside(path, content)
    except OSError as error:
        raise ExternalError(f"{path} cannot be written: {error.strerror or error}") from error
