"""The model server beside the controller: started or found again, started anew when it dies, and asked to end.

It runs in a session of its own: when the controller is killed, the server goes on answering, and the next
controller takes it over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import msgspec

from trimtab.core.domain.errors import ExternalError

_END_S = 30.0
_LOOK_S = 0.05
_RESTART_S = 0.1
_RESTART_S_MAX = 30.0


@dataclass(slots=True)
class ServerProcess:
    """``python -m trimtab.serving`` over a deployment directory. A context manager: leaving it drains and ends the
    server.
    """

    deployment: Path
    logs: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    flush_s: float = 0.5
    durability: str = "batch"
    output: Path | None = None
    """Where its output goes; None: where ours goes."""
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _not_before: float = 0.0
    """By the monotonic clock: a server that dies at once is not started again at once."""
    _found: int | None = None
    """Process id of a server that an earlier controller started."""

    def __enter__(self) -> ServerProcess:
        self._found = self._running()
        self.ensure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int | None:
        """Of the server; None before it was started."""
        return self._found if self._process is None else self._process.pid

    def ensure(self) -> None:
        """Start it unless it runs.

        Raises:
            ExternalError: the command cannot be started.
        """
        if self._found is not None and _is_server(self._found):
            return
        self._found = None
        if self._process is not None:
            if self._process.poll() is None:
                return
            if time.monotonic() < self._not_before:
                return
            self.restarts += 1
            self._not_before = time.monotonic() + min(_RESTART_S * 2**self.restarts, _RESTART_S_MAX)
        self.deployment.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._process = self._spawn()
        except OSError as error:
            raise ExternalError(f"the model server cannot be started: {error}") from error

    def end(self) -> None:
        """Ask it to drain and wait; kill it only if it does not."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        elif self._found is not None and _is_server(self._found):
            _end(self._found)

    def _running(self) -> int | None:
        for path in sorted((self.deployment / "servers").glob("*.json")):
            try:
                card = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            except (OSError, msgspec.DecodeError):
                continue  # a card that is being removed or is damaged names no server to take over
            pid = card.get("supervisor", card.get("pid"))
            if isinstance(pid, int) and _is_server(pid):
                return pid
        return None

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self.output is None:
            return subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, start_new_session=True)
        with self.output.open("ab") as output:
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "trimtab.serving",
            *("--deployment", str(self.deployment)),
            *("--logs", str(self.logs)),
            *("--host", self.host),
            *("--port", str(self.port)),
            *("--workers", str(self.workers)),
            *("--flush", str(self.flush_s)),
            *("--durability", self.durability),
        ]


def _is_server(pid: int) -> bool:
    """Whether a living process of this id is a model server; an id that was given to another program is not."""
    try:
        return b"trimtab.serving" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _END_S
    while _is_server(pid) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    if _is_server(pid):
        os.kill(pid, signal.SIGKILL)
