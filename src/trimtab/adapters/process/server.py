"""The model server beside the controller: started or found again, started anew when it dies, and asked to end.

It runs in a session of its own: when the controller is killed, the server goes on answering, and the next
controller takes it over. When the server's supervisor is killed, its workers go on, and the next supervisor takes those
over (``trimtab.serving.process.handover``). A lock that the supervisor holds as long as it lives tells of one that was
started a moment before the controller was killed, so that there are never two.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from trimtab.adapters.process.locks import locked
from trimtab.core.domain.errors import ExternalError

_END_S = 30.0
_LOOK_S = 0.05
_RESTART_S = 0.1
_RESTART_S_MAX = 30.0
_STEADY_S = 10.0
"""A server that had run longer is started again at once when it dies."""
_START_S = 20.0
"""One that was just started has said where it is after this."""
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
    log: str = ""
    """What is recorded, as JSON (``trimtab.serving.record.settings``)."""
    output: Path | None = None
    """Where its output goes; None: where ours goes."""
    restarts: int = 0
    """How often in a row it died and was started again."""
    """In a row."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started: float = 0.0
    _not_before: float = 0.0
    """By the monotonic clock: a server that dies at once is not started again at once."""
    _found: int | None = None
    """Process id of a server that an earlier controller started."""

    def __enter__(self) -> ServerProcess:
        self.ensure()
        return self

    def takes_over(self) -> bool:
        """Whether a server of this deployment, or what is left of one, runs already where it is wanted; one that runs
        elsewhere is ended when ours is started.
        """
        if any(self._is_wanted(card) and _is_server(card.pid) for card in self._cards()):
            return True
        if not self.deployment.is_dir():
            return False
        with locked(self.deployment.parent / "server.lock") as lock:
            return lock is None

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
            ExternalError: the command cannot be started, or the disk refused.
        """
        ended = None
        if self._found is not None:
            if _is_server(self._found):
                return None
            ended = f"the model server (process {self._found}) ended; another is started"
        if self._process is not None:
            if self._process.poll() is None or time.monotonic() < self._not_before:
                return None
            ended = self._words()
            self._put_off()
        self._process, self._found = None, self._running()
        if self._found is None:
            self._start()
        return ended

    def _start(self) -> None:
        """Start one, unless a killed controller did so a moment ago: that one is found at a later look."""
        try:
            self.deployment.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(parents=True, exist_ok=True)
            with locked(self.deployment.parent / "server.lock") as lock:
                if lock is not None:
                    self._process, self._started = self._spawn(lock), time.monotonic()
        except OSError as error:
            raise ExternalError(f"the model server cannot be started: {error}") from error

    def _put_off(self) -> None:
        now = time.monotonic()
        self.restarts = 0 if now - self._started > _STEADY_S else self.restarts + 1
        pause_s = min(_RESTART_S * 2**self.restarts, _RESTART_S_MAX) if self.restarts else 0.0
        self._not_before = now + pause_s

    def _words(self) -> str:
        code = self._process.returncode if self._process is not None else None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        last = _last_line(self.output) if self.output is not None else ""
        where = f"; {self.output} says: {last}" if last else ""
        return f"the model server ended ({how}), it is started again{where}"

    def end(self) -> None:
        """Ask it to drain and wait; kill it only if it does not. Workers without a supervisor are ended too."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        elif (pid := self._await_running()) is not None:
            _end(pid)
        for card in list(self._cards()):
            if card.orphaned and _is_server(card.pid):
                _end(card.pid)

    def _await_running(self) -> int | None:
        """Process id of the server, once it has said where it is; None where there is none."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            found = self._running()
            if found is not None:
                return found
            with locked(self.deployment.parent / "server.lock") as lock:
                if lock is not None:
                    return None
            time.sleep(_LOOK_S)
        return None

    def _running(self) -> int | None:
        """Process id of a living server of this deployment on the wanted port; others are ended. Workers whose
        supervisor is gone are no server: the next supervisor relieves them.
        """
        found = None
        for card in list(self._cards()):
            if self._is_wanted(card):
                found = card.server if not card.orphaned and _is_server(card.server) else found
            elif _is_server(card.server):
                _end(card.server)
            elif _is_server(card.pid):
                _end(card.pid)
        return found

    def _is_wanted(self, card: _Card) -> bool:
        return self.port in (0, card.port)

    def _cards(self) -> Iterator[_Card]:
        for path in sorted((self.deployment / "servers").glob("*.json")):
            try:
                told = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            except (OSError, msgspec.DecodeError):
                continue  # a card that is being removed or is damaged names no server to take over
            pid, supervisor = told.get("pid"), told.get("supervisor")
            if isinstance(pid, int) and told.get("host") in (None, socket.gethostname()):
                server = supervisor if isinstance(supervisor, int) else pid
                yield _Card(pid, server, _port(told.get("public", told.get("url"))))

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as stack:
            output = None if self.output is None else stack.enter_context(self.output.open("ab"))
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
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
            "--supervised",
            *("--flush", str(self.flush_s)),
            *("--durability", self.durability),
            *(("--log", self.log) if self.log else ()),
        ]


@dataclass(frozen=True, slots=True)
class _Card:
    """What a process of a server says of itself."""

    pid: int
    server: int
    """The supervisor's process id; its own where it has none."""
    port: int | None
    """Where clients reach it."""

    @property
    def orphaned(self) -> bool:
        """Its supervisor is gone."""
        return self.server != self.pid and not _is_server(self.server)


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
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _END_S
    while _is_server(pid) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    if _is_server(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
