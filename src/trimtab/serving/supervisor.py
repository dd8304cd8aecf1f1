"""Several workers on one port: processes that share it, watched and replaced when they die."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

from trimtab.serving.settings import ServerSettings

RESTART_S = 0.5
"""A worker that died is replaced after this; twice as late each time it dies within ``STEADY_S``, to ``LONGEST_S``."""
STEADY_S = 10.0
LONGEST_S = 10.0
EXIT_GRACE_S = 30.0

RunWorker = Callable[[ServerSettings, int, Event], None]

_log = logging.getLogger("trimtab.serving")


class _Place:
    """A worker's index, its present process, and when it may be started again."""

    def __init__(self, index: int, up: Event) -> None:
        self.index = index
        self.up = up
        """Set by the worker once it listens."""
        self.process: BaseProcess | None = None
        self.started = 0.0
        self.pause_s = RESTART_S
        self.start_at = 0.0


def supervise(settings: ServerSettings, run_worker: RunWorker, say: Callable[[str], None]) -> None:
    """Run ``settings.workers`` processes until SIGTERM or SIGINT, then let each drain and flush. Blocks.

    ``say`` gets one line when all workers are up. The kernel spreads connections over them (SO_REUSEPORT). They are
    spawned, not forked, so no lock or thread of this process is inherited.

    Raises:
        OSError: the address cannot be listened on.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with reserve(settings) as port:
        settings = dataclasses.replace(settings, port=port)
        context = multiprocessing.get_context("spawn")
        places = [_Place(index, context.Event()) for index in range(settings.workers)]
        signal.signal(signal.SIGHUP, lambda *_: _signal_all(places, signal.SIGHUP))
        said = False
        while not stop.is_set():
            for place in places:
                _tend(place, lambda at: context.Process(target=run_worker, args=(settings, at.index, at.up)))
            if not said and all(place.up.is_set() for place in places):
                said = True
                say(f"ready on http://{settings.host}:{port}: {settings.workers} workers")
            stop.wait(0.05)
        _signal_all(places, signal.SIGTERM)
        _join(places)


@contextlib.contextmanager
def reserve(settings: ServerSettings) -> Iterator[int]:
    """Hold the port without listening, so that port 0 is the same one for all workers, also for those started later."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((settings.host, settings.port))
        yield sock.getsockname()[1]


def _tend(place: _Place, make: Callable[[_Place], BaseProcess]) -> None:
    """Start the worker if it is not there and its pause is over."""
    now = time.monotonic()
    process = place.process
    if process is not None:
        if process.is_alive():
            return
        place.process = None
        place.pause_s = RESTART_S if now - place.started > STEADY_S else min(2 * place.pause_s, LONGEST_S)
        place.start_at = now + place.pause_s
        _log.error("worker %d (pid %s) ended with %s; starting another", place.index, process.pid, process.exitcode)
    if now >= place.start_at:
        place.process, place.started = make(place), now
        place.process.start()


def _signal_all(places: list[_Place], number: signal.Signals) -> None:
    for place in places:
        if place.process is not None and place.process.pid is not None and place.process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(place.process.pid, number)


def _join(places: list[_Place]) -> None:
    until = time.monotonic() + EXIT_GRACE_S
    for place in places:
        if place.process is not None:
            place.process.join(max(0.0, until - time.monotonic()))
            if place.process.is_alive():
                _log.error("worker %d did not end within %g s and is killed", place.index, EXIT_GRACE_S)
                place.process.kill()
                place.process.join()
