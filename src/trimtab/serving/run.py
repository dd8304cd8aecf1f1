"""Start, serve, and end without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import metadata

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
from trimtab.serving.transport import HttpServer

SWITCH_S = 0.0005
"""The log writer hands the interpreter back to requests after at most this."""

_log = logging.getLogger("trimtab.serving")


def run_server(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; then answer what has arrived, write every record, and return. Blocks.

    Raises:
        OSError: the address cannot be listened on.
    """
    run_worker(settings, index=0)


def run_worker(settings: ServerSettings, index: int) -> None:
    """One worker process. ``index`` tells workers of a server apart."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(20_000, 20, 100)  # rows on their way to the log are no garbage; full collections would walk them
    clock = time.time  # noqa: TID251  the data plane's composition root: the one place that reads the wall clock
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(Worker(settings, index, clock).serve())


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

    async def serve(self) -> None:
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
        self.presence.announce(self.status.url, {"logs": str(self.settings.logs.absolute())})
        _say(self._ready_line())
        watch = asyncio.ensure_future(self.live.watch())
        await stop.wait()
        await self.http.drain()
        watch.cancel()
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
