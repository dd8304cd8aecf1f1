"""``ProcessJobs``: one detached process per job, found again after a crash by a lock that the process holds.

    jobs/<job>/  spec.json  output.log  lock  pid  deaths  result.json  scratch/

The lock, not the pid, tells whether a job lives. It is taken before the process starts and inherited by it, and the
kernel gives it back when the process ends, however it ends. So there is no moment in which a job runs unseen, and a pid
that was given to another process is never mistaken for the job (``pid`` is there for people).

A job that died without a result is started again as often as ``retries`` says (``deaths`` lists the process ids of
those that died), and one that runs longer than ``time_limit_s`` is ended and has failed. ``scratch`` is for what a job
needs while it runs, and goes when it has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from trimtab.adapters.atomic import write_aside
from trimtab.adapters.process.locks import locked
from trimtab.core.domain.errors import ExternalError, IntegrityError, InvariantError, NotFoundError
from trimtab.core.domain.times import duration_text
from trimtab.ports import JobPhase, JobReport

RESULT, PID, DEATHS, SCRATCH = "result.json", "pid", "deaths", "scratch"
_END_S = 10.0
_LOOK_S = 0.02
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ProcessJobs:
    """The ``Jobs`` port. The process gets the job's name as last argument and calls ``read_spec``, ``write_result``."""

    def __init__(
        self, folder: Path, command: Sequence[str], *, time_limit_s: float | None = None, retries: int = 0
    ) -> None:
        """``folder`` gets one subfolder per job; ``command`` is started, detached, with the job's name appended.

        Args:
            time_limit_s: a process that runs longer is ended; None: never.
            retries: how often a job that died without a result is started again.
        """
        self._folder = folder
        self._command = tuple(command)
        self._time_limit_s = time_limit_s
        self._retries = retries
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, job: str, spec: dict[str, Any]) -> None:
        """Start the job unless one of that name was started before (and may not be started again).

        A crash before the process was there leaves only ``spec.json``, and the next call starts it; a crash after it
        leaves the lock held, and the next call sees that.

        Raises:
            ExternalError: the process could not be started, or the disk refused.
        """
        home = self._home(job)
        with _disk(home):
            home.mkdir(parents=True, exist_ok=True)
            with self._alone(), locked(home / "lock") as lock:
                if lock is None or self._is_over(home):
                    return
                self._reap()
                _end_what_is_left(home)
                _note_death(home)
                shutil.rmtree(home / SCRATCH, ignore_errors=True)
                write_aside(home / "spec.json", msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")
                process = self._spawn(job, home, lock)
                write_aside(home / PID, f"{process.pid}\n".encode())
        self._children.append(process)

    def poll(self, job: str) -> JobReport:
        """What is known of the job. One that may be started (again) is missing.

        Raises:
            IntegrityError: its result is not JSON.
        """
        self._reap()
        home = self._home(job)
        log = str(home / "output.log")
        if not home.exists():
            return JobReport(job, JobPhase.MISSING)
        with _disk(home):
            if not (home / RESULT).exists():
                with self._alone(), locked(home / "lock") as lock:
                    if lock is None and not self._overrun(home):
                        return JobReport(job, JobPhase.RUNNING, log=log)
                if lock is None:
                    self._stop(job, home)
            self._reap()
            _end_what_is_left(home)
            shutil.rmtree(home / SCRATCH, ignore_errors=True)
            if (home / RESULT).exists():
                return JobReport(job, JobPhase.FINISHED, result=_json(home / RESULT), log=log)
            started, over = (home / PID).exists(), self._is_over(home)
        return JobReport(job, JobPhase.LOST if over else JobPhase.MISSING, log=log if started else "")

    def _is_over(self, home: Path) -> bool:
        """Whether a job that does not run may not be started again."""
        if (home / RESULT).exists():
            return True
        return (home / PID).exists() and len(_deaths(home) - {_pid(home)}) >= self._retries

    def _overrun(self, home: Path) -> bool:
        if self._time_limit_s is None:
            return False
        since = next((path.stat().st_mtime for path in (home / PID, home / "spec.json") if path.exists()), None)
        now = time.time()  # noqa: TID251  how long a process of this machine has run, whatever the project's clock
        return since is not None and now - since > self._time_limit_s

    def _stop(self, job: str, home: Path) -> None:
        """End a job that took too long, with all that it started, and say so in its stead.

        Raises:
            ExternalError: it does not end.
        """
        pid, end = _pid(home), time.monotonic() + _END_S
        while time.monotonic() < end:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            self._reap()
            with self._alone(), locked(home / "lock") as lock:
                if lock is not None:
                    if not (home / RESULT).exists():
                        write_result(self._folder, job, _overdue(self._time_limit_s or 0.0))
                    return
            time.sleep(_LOOK_S)
        raise ExternalError(f"job '{job}' took longer than its limit and cannot be ended: process {pid}")

    def _spawn(self, job: str, home: Path, lock: int) -> subprocess.Popen[bytes]:
        command = [*self._command, job]
        with (home / "output.log").open("ab") as output:
            try:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            except OSError as error:
                raise ExternalError(f"job '{job}': cannot start {command[0]}: {error.strerror or error}") from error

    def _reap(self) -> None:
        """Children that ended are zombies until their exit status is read; what they did is in result.json."""
        self._children = [child for child in self._children if child.poll() is None]

    def _home(self, job: str) -> Path:
        if not _NAME.fullmatch(job):
            raise InvariantError(f"'{job}' cannot name a job: letters, digits, '.', '_' and '-', at most 128")
        return self._folder / job

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Who looks whether a lock is held takes it for a moment; nobody else may look meanwhile."""
        descriptor = os.open(self._folder / ".gate", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read_spec(folder: Path, job: str) -> dict[str, Any]:
    """What the job was asked to do; called by the job's process.

    Raises:
        NotFoundError: there is no such job.
        IntegrityError: its spec is not JSON.
    """
    path = folder / job / "spec.json"
    if not path.exists():
        jobs = sorted(found.parent.name for found in folder.glob("*/spec.json"))
        raise NotFoundError(f"there is no job '{job}' in {folder}; there are {', '.join(jobs) or 'none'}")
    with _disk(path):
        return _json(path)


def write_result(folder: Path, job: str, result: dict[str, Any]) -> None:
    """The job's last act: its result, there whole or not at all.

    Raises:
        ExternalError: the disk refused.
    """
    path = folder / job / "result.json"
    with _disk(path):
        write_aside(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def _overdue(limit_s: float) -> dict[str, Any]:
    text = f"it took longer than {duration_text(limit_s)} (retraining.time_limit) and was ended"
    return {"outcome": "failed", "version": None, "record": None, "error": text, "fault": "user"}


def note_pid(home: Path) -> None:
    """Called by the job's process: its process id, also where the controller died before it could write it down."""
    with _disk(home):
        write_aside(home / PID, f"{os.getpid()}\n".encode())


def _end_what_is_left(home: Path) -> None:
    """Processes that a job started and, because it was killed, could not end, e.g. the server it measures with.

    While they live, no new process gets the number of their group; where the group's leader lives, it is another's.
    """
    pid = _pid(home)
    if pid is None or _exists(pid):
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _pid(home: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((home / PID).read_text())
    return None


def _deaths(home: Path) -> set[int]:
    try:
        return {int(word) for word in (home / DEATHS).read_text().split()}
    except FileNotFoundError:
        return set()
    except ValueError as error:
        raise IntegrityError(f"{home / DEATHS} is no list of process ids: {error}") from error


def _note_death(home: Path) -> None:
    """One that died since; noted once, however often we die before its successor is there."""
    pid = _pid(home)
    if pid is not None:
        write_aside(home / DEATHS, "".join(f"{dead}\n" for dead in sorted(_deaths(home) | {pid})).encode())


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExternalError(f"{error.filename or path}: {error.strerror or error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{path} is not a JSON object: {error}") from error
