"""Start, serve, and end without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pyarrow as pa

from trimtab.serving.app import App
from trimtab.serving.net.edge import Edge
from trimtab.serving.net.listeners import BACKLOG, bound, waiting
from trimtab.serving.net.transport import Connection, HttpServer
from trimtab.serving.process.counters import SUFFIX
from trimtab.serving.process.handover import Handover
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.process.presence import Presence
from trimtab.serving.process.status import Status
from trimtab.serving.process.worker import UP
from trimtab.serving.record.merging import Merging
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.record.retention import Retention
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.ids import IdSource
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.scoring.scorer import Scorer
from trimtab.serving.scoring.shadow import ShadowQueue
from trimtab.serving.settings import LOG_FORMAT, ServerSettings

SWITCH_S = 0.0005
"""The log writer hands the interpreter back to requests after at most this."""
HELP_S = 0.05
"""How long a connection waits at a worker that was killed, or is busy, before another one takes it."""
FADE_S = 2.0
"""A relieved worker keeps its connections this long, to close each with an answer: a client then loses no request."""

_log = logging.getLogger("trimtab.serving")


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place in a server of several."""

    supervisor: int
    """Process id."""
    listeners: list[socket.socket]
    """The whole server's; the worker listens on its own and looks after the others."""
    channel: socket.socket
    """To the supervisor."""


def run_worker(settings: ServerSettings, index: int, place: Place | None = None) -> None:
    """One worker process. ``index`` tells workers of a server apart; ``place`` is None for a server of one process."""
    if place is not None:
        logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(20_000, 20, 100)  # rows on their way to the log are no garbage; full collections would walk them
    _give_memory_back()
    clock = time.time  # noqa: TID251  the data plane's composition root: the one place that reads the wall clock
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(Worker(settings, index, clock, place).serve())


def _give_memory_back() -> None:
    """Arrow's default allocator keeps what the busiest second needed; jemalloc, where Arrow has it, a third less."""
    with contextlib.suppress(NotImplementedError):
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class Worker:
    """All parts of a worker, put together."""

    def __init__(
        self, settings: ServerSettings, index: int, clock: Callable[[], float], place: Place | None = None
    ) -> None:
        self.settings = settings
        self.index = index
        self.place = place
        tag = secrets.token_hex(5)
        name = f"w{index}-{int(clock() * 1000):012x}-{tag[:4]}"
        limits = settings.limits
        self.metrics = Metrics(settings.counters and settings.counters / f"w{index}{SUFFIX}")
        recorder = Recorder(settings.log, settings.deployment)
        self.log = LogWriter(settings.logs, name, settings.flush_s, limits.log_rows, recorder)
        self.live = LiveDeployment(settings.deployment, settings.poll_s, self.metrics)
        self.shadow = ShadowQueue(self.log, self.metrics, limits.shadow_rows)
        ids = IdSource(tag)
        self.scorer = Scorer(self.log, self.metrics, self.shadow, ids, clock)
        version = metadata.version("trimtab")
        self.status = Status(settings, name, version, self.live, self.log, self.shadow, self.metrics, clock)
        thread_ids = IdSource(f"{tag}t")
        self.app = App(
            settings, self.live, self.scorer, self.log, self.metrics, self.status, (ids, thread_ids, f"{tag}d"), clock
        )
        variables = os.environ  # noqa: TID251  as with the clock; the SDK of traces reads it too
        self.edge = Edge(settings, self.app, self.live, self.metrics, clock, (version, name), variables)
        self.http = HttpServer(self.edge.handle, limits, clock)
        self.status.http = self.http
        self.clock = clock
        log = settings.log if index == 0 else LogSettings()  # one worker of a server deletes what is too old
        self.retention = self.status.retention = Retention(settings.logs, log)
        self.merging = Merging(settings.logs, settings.log.merge and index == 0)
        self.presence = Presence(settings.deployment)
        self._handshakes: set[asyncio.Future[None]] = set()

    async def serve(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT) if self.place is None else (signal.SIGTERM,):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.live.hurry)
        self.log.start()
        if self.place is None:
            await self._open_alone()
            await self._until(stop)
        else:
            await self._serve_beside_others(self.place, stop)
        await self.http.drain()
        self.app.close()
        self.shadow.finish()
        await loop.run_in_executor(None, self.log.close)
        self.status.publish()
        await loop.run_in_executor(None, self.edge.close)
        self.live.close()
        self.presence.withdraw()

    async def _until(self, stop: asyncio.Event) -> None:
        """Follow the routes."""
        watches = [asyncio.ensure_future(self.live.watch()), asyncio.ensure_future(self.edge.watch())]
        watches.append(asyncio.ensure_future(self.status.keep_publishing()))
        watches.append(asyncio.ensure_future(self.retention.watch(self.clock, self._tell_of_log)))
        watches.append(asyncio.ensure_future(self.merging.watch(self.clock)))
        await stop.wait()
        for watch in watches:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _open_alone(self) -> None:
        sock = bound(self.settings.host, self.settings.port, shared=False)
        host, port = await self.http.listen(sock=sock, **self.edge.listening)
        self.status.url = f"{self.edge.scheme}://{_bracketed(host)}:{port}"
        await self.live.refresh()
        own = self.status.url
        if self.edge.listening:  # the control plane is of this machine and need not trust our certificate
            own = "http://{}:{}".format(*await self.http.listen(host="127.0.0.1", port=0))
        self.presence.announce(own, self._card())
        _say(self._ready_line())

    async def _serve_beside_others(self, place: Place, stop: asyncio.Event) -> None:
        """Listen only once the models are loaded: until then the others answer."""
        told = asyncio.Event()

        def end() -> None:
            told.set()
            stop.set()

        mine = place.listeners[self.index :: self.settings.workers]
        others = [listener for listener in place.listeners if listener not in mine]
        await self.live.refresh()
        # The shared port reaches any worker: the control plane asks each at a port of its own.
        own_host, own_port = await self.http.listen(host="127.0.0.1", port=0)
        loop = asyncio.get_running_loop()
        tls = self.edge.listening
        servers = [
            await loop.create_server(self._connection, sock=listener.dup(), backlog=BACKLOG, **tls) for listener in mine
        ]
        self.status.url = f"{self.edge.scheme}://{_bracketed(self.settings.host)}:{self.settings.port}"
        handover = Handover(self.presence.directory, place.listeners, place.supervisor, end)
        handover.start()
        self.presence.announce(f"http://{own_host}:{own_port}", self._card() | {"supervisor": place.supervisor})
        with contextlib.suppress(OSError):  # the supervisor was killed: go on without
            place.channel.send(UP)
        helping = asyncio.ensure_future(self._help(others))
        orphaned = asyncio.ensure_future(_tell_when_orphaned(handover))
        await self._until(stop)
        helping.cancel()
        orphaned.cancel()
        handover.close()
        for server in servers:
            server.close()
        if told.is_set():
            await self._take_waiting(place.listeners)  # a socket that only we still hold would end them
        for listener in place.listeners:
            listener.close()
        if told.is_set():
            await self._fade()

    async def _help(self, others: list[socket.socket]) -> None:
        """Take connections that wait at another worker's socket: it may be busy, or was killed."""
        while True:
            await asyncio.sleep(HELP_S)
            await self._take_waiting(others)

    async def _take_waiting(self, listeners: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for listener in listeners:
            with contextlib.suppress(OSError):  # e.g. no descriptors left: they wait for their own worker
                while (connection := waiting(listener)) is not None:
                    taking = loop.connect_accepted_socket(self._connection, connection, **self.edge.listening)
                    if self.edge.listening:  # a handshake may take long: the next connection does not wait for it
                        self._handshakes.add(task := asyncio.ensure_future(_quietly(taking)))
                        task.add_done_callback(self._handshakes.discard)
                    else:
                        await taking

    async def _fade(self) -> None:
        """Another generation has taken over: leave the port to it, and each client with its next answer."""
        self.presence.withdraw()
        self.http.draining = True
        until = asyncio.get_running_loop().time() + FADE_S
        while self.http.connections and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)

    def _tell_of_log(self, words: str) -> None:
        self.log.health.tell(words, time.monotonic())

    def _connection(self) -> Connection:
        return Connection(self.http, asyncio.get_running_loop())

    def _card(self) -> dict[str, Any]:
        return {"logs": str(self.settings.logs.absolute()), "public": self.status.url}

    def _ready_line(self) -> str:
        deployment, url = self.live.current, self.status.url
        if deployment is None:
            return f"listening on {url}, not ready: {self.live.refusal}"
        versions = ", ".join(map(str, sorted(deployment.slots)))
        return f"ready on {url}: {deployment.name}, generation {deployment.generation}, versions {versions}"


async def _tell_when_orphaned(handover: Handover) -> None:
    while not handover.orphaned:
        await asyncio.sleep(0.5)
    _log.error("the supervisor is gone; this worker serves on until another one takes over")


async def _quietly(taking: Awaitable[Any]) -> None:
    with contextlib.suppress(OSError):  # the client went away, or speaks no TLS
        await taking


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
