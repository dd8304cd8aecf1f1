"""Several workers on one port: processes that share it, watched and replaced when they die.

The supervisor opens the listening sockets and does nothing else with them; its workers inherit them all. So a worker
may be killed (its connections that wait are answered by the others, or by its replacement), and so may the supervisor:
the workers go on, and the next supervisor takes sockets and workers over (``handover``). It imports nothing that only a
worker needs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from trimtab.serving.net.listeners import distinct, open_listeners
from trimtab.serving.process.counters import counters_folder
from trimtab.serving.process.handover import Survivor, survivors
from trimtab.serving.process.worker import COMMAND, UP, Order, encode
from trimtab.serving.settings import ServerSettings

RESTART_S = 0.1
"""A worker that ended within ``STEADY_S`` is replaced after this; twice as late each further time, to ``LONGEST_S``.
One that had served longer is replaced at once."""
STEADY_S = 5.0
LONGEST_S = 10.0
EXIT_GRACE_S = 30.0
LOOK_S = 0.05
ORPHANS_S = 1.0
"""Workers of a supervisor that was killed are looked for this often."""

_log = logging.getLogger("trimtab.serving")


def run_server(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; then answer what has arrived, write every record, and return. Blocks.

    Raises:
        OSError: the address cannot be listened on.
    """
    if settings.workers > 1 or settings.supervised:
        supervise(settings, _say)
    else:
        from trimtab.serving.run import run_worker  # heavy: a supervisor does not need it

        run_worker(settings, 0)


def supervise(settings: ServerSettings, say: Callable[[str], None]) -> None:
    """Run ``settings.workers`` processes until SIGTERM or SIGINT, then let each drain and flush. Blocks.

    ``say`` gets one line when all workers are up. Workers whose supervisor was killed are relieved once ours are up.

    Raises:
        OSError: the address cannot be listened on.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _sockets(settings) as (listeners, orphans), _counters(settings, listeners, bool(orphans)) as counters:
        port = listeners[0].getsockname()[1]
        settings = dataclasses.replace(settings, port=port, counters=counters)
        places = [_Place(settings, index, listeners) for index in range(settings.workers)]
        signal.signal(signal.SIGHUP, lambda *_: _signal_all(places, signal.SIGHUP))
        said, look_at = False, 0.0
        while not stop.is_set():
            for place in places:
                place.tend()
            if time.monotonic() >= look_at and all(place.up for place in places):
                if not said:
                    scheme = "http" if settings.security.tls_cert is None else "https"
                    say(f"ready on {scheme}://{settings.host}:{port}: {settings.workers} workers")
                said, look_at = True, time.monotonic() + ORPHANS_S
                found, rivals = _others(settings)
                _relieve(orphans)
                _relieve(found)
                if any(rival < os.getpid() for rival in rivals):
                    _log.error("supervisor %d took over at the same moment: this one ends", min(rivals))
                    break
            _wait(places)
        _relieve(orphans)
        for listener in listeners:
            listener.close()
        _signal_all(places, signal.SIGTERM)
        _join(places)


@contextlib.contextmanager
def _sockets(settings: ServerSettings) -> Iterator[tuple[list[socket.socket], list[Survivor]]]:
    """The listening sockets and the workers of a supervisor that was killed; ours to keep open while we supervise."""
    orphans, living = _others(settings)
    if living and settings.port:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    kept = distinct([sock for survivor in orphans for sock in survivor.sockets])
    listeners = open_listeners(settings.host, settings.port, settings.workers, kept)
    try:
        yield listeners, orphans
    finally:
        for sock in listeners:
            sock.close()


def _counters(
    settings: ServerSettings, listeners: list[socket.socket], following: bool
) -> AbstractContextManager[Path | None]:
    """Where the counters are kept, by the port: a free one is as lasting as its sockets, which a supervisor that
    follows one that was killed takes over.
    """
    port = listeners[0].getsockname()[1]
    folder = settings.deployment / "servers" / f"counters-{port}"
    return counters_folder(folder, passing=not settings.port, anew=not settings.port and not following)


def _others(settings: ServerSettings) -> tuple[list[Survivor], set[int]]:
    """Workers at our address whose supervisor was killed (one that was only being started then is seen later), and
    supervisors there that live.
    """
    found = survivors(settings.deployment / "servers", settings.host, settings.port, besides=os.getpid())
    orphans = [survivor for survivor in found if survivor.greeting.orphaned]
    living = [survivor for survivor in found if not survivor.greeting.orphaned]
    for survivor in living:
        survivor.leave()
    if orphans:
        pids = ", ".join(str(survivor.greeting.pid) for survivor in orphans)
        _log.warning("taking over from workers %s, whose supervisor is gone", pids)
    return orphans, {survivor.greeting.supervisor for survivor in living}


def _relieve(orphans: list[Survivor]) -> None:
    while orphans:
        orphans.pop().end()


class _Place:
    """A worker's index, its present process, and when it may be started again."""

    def __init__(self, settings: ServerSettings, index: int, listeners: list[socket.socket]) -> None:
        self.up = False
        """It answers."""
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self._settings = settings
        self._index = index
        self._listeners = listeners
        self._started = 0.0
        self._pause_s = 0.0
        self._start_at = 0.0

    def tend(self) -> None:
        """Hear whether it is up; start it if it is not there and its pause is over."""
        if self.process is not None:
            self._hear()
            code = self.process.poll()
            if code is None:
                return
            _log.error("worker %d (pid %s) ended with %s; starting another", self._index, self.process.pid, code)
            self._gone()
        if time.monotonic() >= self._start_at:
            self._start()

    def _hear(self) -> None:
        if self.channel is None:
            return
        try:
            words = self.channel.recv(64)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if words.startswith(UP):
            self.up = True
        elif not words:  # it ended, or will in a moment
            self.channel.close()
            self.channel = None

    def _gone(self) -> None:
        now = time.monotonic()
        steady = self.up and now - self._started > STEADY_S
        self._pause_s = 0.0 if steady else min(max(RESTART_S, 2 * self._pause_s), LONGEST_S)
        self._start_at = now + self._pause_s
        self.process, self.up = None, False
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def _start(self) -> None:
        self._started = time.monotonic()
        ours, theirs = socket.socketpair()
        descriptors = [listener.fileno() for listener in self._listeners]
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, *COMMAND], stdin=theirs.fileno(), pass_fds=descriptors, close_fds=True
                )
            ours.sendall(encode(Order(self._settings, self._index, os.getpid(), descriptors, list(sys.path))))
        except OSError as error:
            _log.error("worker %d cannot be started, it is tried again: %s", self._index, error)
            ours.close()
            if self.process is None:
                self._gone()
            return
        ours.setblocking(False)
        self.channel = ours


def _wait(places: list[_Place]) -> None:
    """Until a worker says something or ends, at most a moment."""
    channels = [place.channel for place in places if place.channel is not None]
    if len(channels) < len(places):
        time.sleep(LOOK_S / 5)
    else:
        select.select(channels, [], [], LOOK_S)


def _signal_all(places: list[_Place], number: signal.Signals) -> None:
    for place in places:
        if place.process is not None:
            place.process.send_signal(number)


def _join(places: list[_Place]) -> None:
    until = time.monotonic() + EXIT_GRACE_S
    for place in places:
        if place.process is None:
            continue
        try:
            place.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("worker %d did not end within %g s and is killed", place.process.pid, EXIT_GRACE_S)
            place.process.kill()
            place.process.wait()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
