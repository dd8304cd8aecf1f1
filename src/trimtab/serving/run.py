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
from collections.abc import Callable
from importlib import metadata
from multiprocessing.synchronize import Event

from trimtab.serving.app import App
from trimtab.serving.ids import IdSource
from trimtab.serving.live import LiveDeployment
from trimtab.serving.log import LogWriter
from trimtab.serving.metrics import Metrics
from trimtab.serving.presence import Presence
from trimtab.serving.scoring import Scorer
from trimtab.serving.settings import ServerSettings
from trimtab.serving.shadow import ShadowQueue
from trimtab.serving.status import Status
from trimtab.serving.supervisor import supervise
from trimtab.serving.transport import HttpServer

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
SWITCH_S = 0.0005
"""The log writer hands the interpreter back to requests after at most this."""

_log = logging.getLogger("trimtab.serving")


def run_server(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; then answer what has arrived, write every record, and return. Blocks.

    Raises:
        OSError: the address cannot be listened on.
    """
    if settings.workers > 1:
        supervise(settings, run_worker, _say)
    else:
        run_worker(settings, 0)


def run_worker(settings: ServerSettings, index: int, up: Event | None = None) -> None:
    """One worker process. ``index`` tells workers of a server apart; ``up`` is set once it listens.

    A worker of several ends when its supervisor is gone.
    """
    if up is not None:
        logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(20_000, 20, 100)  # rows on their way to the log are no garbage; full collections would walk them
    clock = time.time  # noqa: TID251  the data plane's composition root: the one place that reads the wall clock
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(Worker(settings, index, clock).serve(up))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class Worker:
    """All parts of a worker, put together."""

    def __init__(self, settings: ServerSettings, index: int, clock: Callable[[], float]) -> None:
        self.settings = settings
        tag = secrets.token_hex(5)
        name = f"w{index}-{int(clock() * 1000):012x}-{tag[:4]}"
        limits = settings.limits
        self.metrics = Metrics()
        self.log = LogWriter(settings.logs, name, settings.flush_s, limits.log_rows)
        self.live = LiveDeployment(settings.deployment, settings.poll_s, self.metrics)
        self.shadow = ShadowQueue(self.log, self.metrics, limits.shadow_rows)
        ids = IdSource(tag)
        self.scorer = Scorer(self.log, self.metrics, self.shadow, ids, clock)
        version = metadata.version("trimtab")
        self.status = Status(settings, name, version, self.live, self.log, self.shadow, self.metrics, clock)
        thread_ids = IdSource(f"{tag}t")
        self.app = App(settings, self.live, self.scorer, self.log, self.metrics, self.status, (ids, thread_ids), clock)
        self.http = HttpServer(self.app.handle, limits, clock)
        self.status.http = self.http
        self.presence = Presence(settings.deployment)

    async def serve(self, up: Event | None = None) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.live.hurry)
        self.log.start()
        host, port = await self.http.listen(sock=_socket(self.settings))
        self.status.url = f"http://{_bracketed(host)}:{port}"
        await self.live.refresh()
        fields = {"logs": str(self.settings.logs.absolute()), "public": self.status.url}
        if up is None:
            self.presence.announce(self.status.url, fields)
            _say(self._ready_line())
        else:  # the shared port reaches any worker: the control plane asks each at a port of its own
            own_host, own_port = await self.http.listen(host="127.0.0.1", port=0)
            self.presence.announce(f"http://{own_host}:{own_port}", fields)
            up.set()
            orphan = asyncio.ensure_future(_when_orphaned(stop))
        watch = asyncio.ensure_future(self.live.watch())
        await stop.wait()
        await self.http.drain()
        watch.cancel()
        if up is not None:
            orphan.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        self.shadow.finish()
        await loop.run_in_executor(None, self.log.close)
        self.app.close()
        self.live.close()
        self.presence.withdraw()

    def _ready_line(self) -> str:
        deployment, url = self.live.current, self.status.url
        if deployment is None:
            return f"listening on {url}, not ready: {self.live.refusal}"
        versions = ", ".join(map(str, sorted(deployment.slots)))
        return f"ready on {url}: {deployment.name}, generation {deployment.generation}, versions {versions}"


async def _when_orphaned(stop: asyncio.Event) -> None:
    """Stop when the supervisor is gone (kill -9): another one may start its own workers."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    _log.error("the supervisor is gone")
    stop.set()


def _socket(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.workers > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((settings.host, settings.port))
    sock.setblocking(False)
    return sock


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
