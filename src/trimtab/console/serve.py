"""The control API in a thread beside the loop. What goes wrong here is told, and the loop goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.console.access import Access, loopback

if TYPE_CHECKING:
    import uvicorn

    from trimtab.controller.desk import Desk

_WAITING_MAX = 64
"""Connections at once; more are answered with 503."""
_END_S = 5.0


@dataclass(slots=True)
class Served:
    """Where the control API listens, or why it does not."""

    url: str | None
    problem: str | None = None
    access: str = ""
    """Who may ask, in words."""


@contextmanager
def served(desk: Desk, host: str, port: int, access: Access) -> Iterator[Served]:
    """Answer in a thread until the block is left.

    Args:
        desk: ports for this thread alone: an object that the loop does not use.
        host: address to listen on.
        port: 0 takes a free one.
        access: who may ask (``check_exposure`` was asked before).

    An address that cannot be listened on is no error: the loop matters more. ``problem`` says so.
    """
    try:
        listening = _listen(host, port)
    except OSError as error:
        why = error.strerror or str(error)
        yield Served(None, f"no control API: cannot listen on {host}:{port}: {why}; 'console.port' names another")
        return
    thread = _Answering(desk, listening, access, local=access.token is None and loopback(host))
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        reach = "for this machine only, without a token" if loopback(host) else "for all who reach it, without a token"
        who = reach if access.token is None else "for who has the token"
        yield Served(f"http://{shown}:{listening.getsockname()[1]}", access=who)
    finally:
        thread.end()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_WAITING_MAX)
    except OSError:
        listening.close()
        raise
    return listening


class _Answering(threading.Thread):
    """uvicorn in a thread. Its libraries are imported here, so that the loop does not wait for them."""

    def __init__(self, desk: Desk, listening: socket.socket, access: Access, *, local: bool) -> None:
        super().__init__(name="control-api", daemon=True)
        self._desk = desk
        self._listening = listening
        self._access = access
        self._local = local
        self._server: uvicorn.Server | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        import uvicorn

        from trimtab.console.access import Guard
        from trimtab.console.app import create

        config = uvicorn.Config(
            Guard(create(self._desk), self._access, local=self._local),
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            limit_concurrency=_WAITING_MAX,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        if not self._ending.is_set():
            self._server.run(sockets=[self._listening])

    def end(self) -> None:
        """Stop listening and wait for the answer under way."""
        self._ending.set()
        if self._server is not None:
            self._server.should_exit = True
        self.join(_END_S)
        self._listening.close()
