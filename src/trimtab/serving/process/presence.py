"""``<deployment>/servers/<pid>.json``: how the control plane finds the servers of a deployment."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

_log = logging.getLogger("trimtab.serving")


class Presence:
    """This process's file; there while it serves. A deployment that cannot be written (a ConfigMap) only loses this."""

    def __init__(self, deployment: Path) -> None:
        self.directory = deployment / "servers"
        self._path = self.directory / f"{os.getpid()}.json"

    def announce(self, url: str, fields: dict[str, Any]) -> None:
        """Write the file; files of processes of this host that died without removing theirs are removed."""
        body = {"url": url, "pid": os.getpid(), "host": socket.gethostname(), **fields}
        aside = self._path.with_name(f".{self._path.name}.tmp")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_dead(str(body["host"]))
            aside.write_bytes(msgspec.json.encode(body))
            aside.rename(self._path)
        except OSError as error:
            _log.warning("%s cannot be written, the control plane will not find this server: %s", self._path, error)

    def withdraw(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _remove_dead(self, host: str) -> None:
        for path in self.directory.glob("*.json"):
            with contextlib.suppress(OSError, msgspec.DecodeError, ValueError):
                known = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
                if known.get("host") == host and not _alive(int(path.stem)):
                    path.unlink(missing_ok=True)
                    path.with_suffix(".sock").unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
