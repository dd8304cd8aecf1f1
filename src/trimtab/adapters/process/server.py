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
from urllib.parse import urlsplit

import msgspec

from trimtab.core.domain.errors import ExternalError

_END_S = 30.0
_LOOK_S = 0.05
_RESTART_S = 0.1
_RESTART_S_MAX = 30.0
_TAIL_BYTES = 4096


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

    def takes_over(self) -> bool:
        """Whether a server of this deployment runs already where it is wanted; one that runs elsewhere is ended when
        ours is started.
        """
        return self._running(end_others=False) is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int | None:
        """Of the server; None before it was started."""
        return self._found if self._process is None else self._process.pid

    def ensure(self) -> str | None:
        """Start it unless it runs. What to tell people when it had ended by itself.

        Raises:
            ExternalError: the command cannot be started.
        """
        if self._found is not None and _is_server(self._found):
            return None
        ended = None
        if self._found is not None:
            ended = f"the model server (process {self._found}) ended; another is started"
        self._found = None
        if self._process is not None:
            if self._process.poll() is None or time.monotonic() < self._not_before:
                return None
            ended = self._words()
            self.restarts += 1
            self._not_before = time.monotonic() + min(_RESTART_S * 2**self.restarts, _RESTART_S_MAX)
            self._found = self._running()  # one whose controller was killed before it had said where it is
            if self._found is not None:
                self._process = None
                return ended
        self.deployment.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._process = self._spawn()
        except OSError as error:
            raise ExternalError(f"the model server cannot be started: {error}") from error
        return ended

    def _words(self) -> str:
        code = self._process.returncode if self._process is not None else None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        last = _last_line(self.output) if self.output is not None else ""
        where = f"; {self.output} says: {last}" if last else ""
        return f"the model server ended ({how}), it is started again{where}"

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

    def _running(self, *, end_others: bool = True) -> int | None:
        """Process id of a server of this deployment on the wanted port; with ``end_others`` others are ended."""
        for path in sorted((self.deployment / "servers").glob("*.json")):
            try:
                card = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            except (OSError, msgspec.DecodeError):
                continue  # a card that is being removed or is damaged names no server to take over
            pid = card.get("supervisor", card.get("pid"))
            if not isinstance(pid, int) or not _is_server(pid):
                continue
            if self.port in (0, _port(card.get("url"))):
                return pid
            if end_others:
                _end(pid)
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


def _port(url: object) -> int | None:
    try:
        return urlsplit(url).port if isinstance(url, str) else None
    except ValueError:
        return None


def _last_line(output: Path) -> str:
    """The last thing that the server said."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


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
