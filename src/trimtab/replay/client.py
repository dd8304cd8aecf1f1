"""A small HTTP/1.1 client for load: several keep-alive connections, one request under way on each.

Written on asyncio's protocols, so that one core can send what another can answer. It never retries: what was refused or
failed is the caller's to count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools

from trimtab.core.domain.errors import ExternalError, UserError

IDLE_S = 20.0
"""A connection that was idle for longer is opened anew: servers close idle ones, and a request could meet the close."""
GIVE_UP = 50
"""Refused connections in a row, after which the server is taken to be gone."""
PAUSE_S = 0.02
"""Between attempts to connect to a server that refuses."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``status`` 0: no answer (refused, reset, cut off), and ``body`` says why."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Client:
    """Sends many requests and gives their replies in the order asked. A context manager.

    Args:
        url: ``http://host:port``, optionally with a path that all requests begin with.
        connections: how many, which is also how many requests are under way at once.

    Raises:
        UserError: the URL is not of that form.
    """

    def __init__(self, url: str, connections: int = 16) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UserError(f"'{url}' is not a server's address; write http://host:port")
        if connections < 1:
            raise UserError(f"connections must be at least 1, found {connections}")
        self._host = parts.netloc.encode()
        self._base = parts.path.rstrip("/").encode()
        self._address = (parts.hostname, parts.port or 80)
        self._runner = asyncio.Runner(loop_factory=_loop_factory())
        self._connections = [_Connection() for _ in range(connections)]
        self._refused = 0
        self._gone: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. May be called twice."""
        for connection in self._connections:
            connection.abandon()
        self._runner.close()

    def post(self, path: bytes, body: bytes) -> bytes:
        """The bytes of a POST of JSON."""
        return b"POST %b%b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            self._base,
            path,
            self._host,
            len(body),
            body,
        )

    def get(self, path: bytes) -> bytes:
        """The bytes of a GET."""
        return b"GET %b%b HTTP/1.1\r\nHost: %b\r\n\r\n" % (self._base, path, self._host)

    def exchange(self, requests: Sequence[bytes]) -> list[Reply]:
        """Send the requests, begun in their order, and wait for all replies.

        Raises:
            ExternalError: the server refused ``GIVE_UP`` connections in a row.
        """
        return self._runner.run(self._exchange(requests)) if requests else []

    async def _exchange(self, requests: Sequence[bytes]) -> list[Reply]:
        replies = [Reply(0, b"was not sent")] * len(requests)
        places = iter(range(len(requests)))
        self._gone = None
        await asyncio.sleep(0)  # a connection closed meanwhile is noticed here, not by a request
        work = [self._work(connection, places, requests, replies) for connection in self._connections[: len(requests)]]
        await asyncio.gather(*work)
        if self._gone is not None:
            raise ExternalError(self._gone)
        return replies

    async def _work(
        self, connection: _Connection, places: Iterator[int], requests: Sequence[bytes], replies: list[Reply]
    ) -> None:
        """One connection takes requests from the common queue until none is left."""
        loop = asyncio.get_running_loop()
        if loop.time() - connection.used_at > IDLE_S:
            connection.abandon()
        for place in places:
            refusal = None if connection.open else await self._connect(connection, loop)
            replies[place] = refusal or await connection.send(requests[place], loop)
            if self._gone is not None:
                return

    async def _connect(self, connection: _Connection, loop: asyncio.AbstractEventLoop) -> Reply | None:
        try:
            await loop.create_connection(lambda: connection, *self._address)
        except OSError as error:
            self._refused += 1
            if self._refused >= GIVE_UP:
                self._gone = (
                    f"the server at {self._host.decode()} refused {self._refused} connections in a row "
                    f"({error}); is it running?"
                )
            await asyncio.sleep(PAUSE_S)
            return Reply(0, f"refused: {error}".encode())
        self._refused = 0
        return None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on every system: slower, the same answers
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Connection(asyncio.Protocol):
    """One socket with at most one request under way."""

    def __init__(self) -> None:
        self.used_at = 0.0
        """Loop time of the last reply."""
        self._transport: asyncio.WriteTransport | None = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._body = bytearray()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abandon(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def send(self, request: bytes, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Reply]:
        """Write the request; the future is done with its reply, whatever that is."""
        waiter: asyncio.Future[Reply] = loop.create_future()
        if self._transport is None:
            waiter.set_result(Reply(0, b"the connection was lost"))
            return waiter
        self._waiter = waiter
        self._transport.write(request)
        return waiter

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # of TCP; uvloop's are of classes of their own
        self._begin()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._answer(Reply(0, f"the reply is not HTTP: {error}".encode()))
            self.abandon()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._answer(Reply(0, f"the connection was lost: {error or 'closed by the server'}".encode()))

    # --- callbacks of the parser --------------------------------------------------------------------------------------

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        reply = Reply(self._parser.get_status_code(), bytes(self._body))
        if not self._parser.should_keep_alive():
            self.abandon()
        self._begin()
        self._answer(reply)

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()

    def _answer(self, reply: Reply) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            self.used_at = waiter.get_loop().time()
            waiter.set_result(reply)
