"""HTTP/1.1 on a socket: bytes to requests, answers to bytes. Limits, time-outs and closing live here; meaning does not.

One connection answers in order. Single rows of all connections that came in one turn of the event loop are scored
together when it ends (``Later``), or answered at once: a client that sends many requests ahead gets a few answers a
turn and then waits for the others. Where an answer has to wait longer (a large batch in a thread), or more was sent
ahead than ``Limits.ahead``, the connection stops reading, so that a client cannot pile up work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from email.utils import formatdate
from typing import Any, cast

import httptools

from trimtab.serving.net.http import Answer, Handler, Later, Request, Response, error_response, render
from trimtab.serving.settings import Limits

LINGER_S = 2.0
"""After an early refusal what the client still sends is read and dropped for this long, so that it sees the answer."""
ANSWERS_A_TURN = 16
"""A connection that sent more ahead than this waits for the next turn of the event loop: others come first."""
SWEEP_S = 0.25
"""Time-outs are looked at this often."""

_log = logging.getLogger("trimtab.serving")


class HttpServer:
    """All connections of a worker, their limits and their end."""

    def __init__(self, handler: Handler, limits: Limits, wall_clock: Any) -> None:
        self.handler = handler
        self.limits = limits
        self.connections: set[Connection] = set()
        self.draining = False
        self.refused_connections = 0
        self.shed = 0
        """Requests answered with 503 because their turn took too long."""
        self.bad_requests = 0
        """Requests that were not HTTP or broke a limit."""
        self._wall_clock = wall_clock
        self.now = 0.0
        """Coarse loop time, for time-outs."""
        self.date = b""
        self.answer_head = b""
        """Of the answer to nearly all requests, up to its length."""
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._turn_started = 0.0
        self.turn_open = False

    async def listen(self, **where: Any) -> tuple[str, int]:
        """Listen on ``host`` and ``port``, or on ``sock``; returns where."""
        loop = asyncio.get_running_loop()
        if self._sweeper is None:
            self._sweep()
        listener = await loop.create_server(lambda: Connection(self, loop), backlog=2048, **where)
        self._listeners.append(listener)
        host, port = listener.sockets[0].getsockname()[:2]
        return str(host), int(port)

    def turn(self) -> float:
        """When this turn of the event loop began to answer (``perf_counter``)."""
        if not self.turn_open:
            self.turn_open = True
            self._turn_started = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._close_turn)
        return self._turn_started

    def _close_turn(self) -> None:
        self.turn_open = False

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        self.date = formatdate(self._wall_clock(), usegmt=True).encode()
        self.answer_head = render(b"", self.date, keep_alive=True).removesuffix(b"0\r\n\r\n")
        for connection in list(self.connections):
            connection.check(self.now)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    async def drain(self) -> None:
        """Stop listening, answer what has arrived, close."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.drain_s
        grace = loop.time() + 0.2  # requests already in the socket's buffer are answered, with 'Connection: close'
        while self.connections and loop.time() < until:
            if loop.time() >= grace:
                for connection in list(self.connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_busy",
        "_chunks",
        "_closing_since",
        "_complete",
        "_current",
        "_ended",
        "_head_bytes",
        "_head_done",
        "_idle_since",
        "_loop",
        "_parser",
        "_paused_since",
        "_queue",
        "_reading_since",
        "_received",
        "_refusal",
        "_resting",
        "_server",
        "_tls",
        "_transport",
        "_waiting",
    )

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._current: Request | None = None
        self._chunks: list[bytes] = []
        self._received = 0
        self._head_bytes = 0
        self._head_done = False
        self._complete = False
        self._queue: deque[Request] = deque()
        self._busy = False
        """An answer is under way; those after it have to wait."""
        self._resting = False
        """It had its share of this turn; the queue goes on in the next."""
        self._waiting: Request | None = None
        """The request whose answer comes when the turn ends."""
        self._idle_since = server.now
        self._reading_since: float | None = None
        self._paused_since: float | None = None
        self._closing_since: float | None = None
        self._refusal: Response | None = None
        self._ended = False
        """The client has sent all it will."""
        self._tls = False

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._tls = not self._transport.can_write_eof()
        self._server.connections.add(self)
        if len(self._server.connections) > self._server.limits.connections:
            self._server.refused_connections += 1
            self._refuse(503, "too many connections", ((b"Retry-After", b"1"),))
            self._answer_queue()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio names it
        self._server.connections.discard(self)
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        if self._closing_since is not None or self._refusal is not None:
            return
        self._complete = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not valid HTTP/1.1: {error}")
        if self._current is not None:
            self._check_head(len(data))
            if self._reading_since is None:
                self._reading_since = self._loop.time()
        if self._busy or self._resting:
            if len(self._queue) > self._server.limits.ahead:
                self._transport.pause_reading()
        elif self._paused_since is None:
            self._answer_queue()

    def eof_received(self) -> bool:
        # A client may close its sending side and still read: answers under way are finished first.
        self._ended = True
        return not self._tls and (self._busy or bool(self._queue))

    def pause_writing(self) -> None:
        self._paused_since = self._loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused_since = None
        if self._closing_since is None and not self._busy and not self._resting:
            self._transport.resume_reading()
            self._answer_queue()

    # --- httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._current = Request()
        self._head_done = False
        self._received = 0

    def on_url(self, url: bytes) -> None:
        assert self._current is not None  # noqa: S101  the parser calls on_message_begin first
        self._current.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is not None:
            self._current.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        request = self._current
        if request is None:
            return
        self._head_done = True
        self._head_bytes = 0
        headers = request.headers
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._server.limits.body_bytes:
            self._too_large()
        elif b"expect" in headers:
            if headers[b"expect"].lower() != b"100-continue":
                self._refuse(417, "only 'Expect: 100-continue' is understood")
            elif not self._busy and not self._queue:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._refusal is not None:
            return
        self._received += len(body)
        if self._received > self._server.limits.body_bytes:
            self._too_large()
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        request, self._current = self._current, None
        self._complete = True
        self._reading_since = None
        chunks = self._chunks
        if request is None or self._refusal is not None:
            return
        request.method = self._parser.get_method()
        request.keep_alive = self._parser.should_keep_alive()
        if chunks:
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._chunks = []
        request.started = time.perf_counter()
        self._queue.append(request)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Feed the parser; an offer to upgrade (h2c, which some clients make) is not taken, and parsing goes on."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._refusal is not None:
                    return
                head = self._head_without_upgrade()
                if head is None:
                    self._refuse(405, "CONNECT is for proxies; this is a server")
                    return
                self._parser = httptools.HttpRequestParser(self)
                data = head + data[upgrade.args[0] :]
                continue
            return

    def _head_without_upgrade(self) -> bytes | None:
        """The head of the request that offered it, to be parsed anew with its body; None for CONNECT."""
        request = self._current or self._queue.pop()
        self._current = None
        method = self._parser.get_method()
        if method == b"CONNECT":
            return None
        kept = [(k, v) for k, v in request.headers.items() if k not in (b"upgrade", b"connection")]
        lines = [b"%b %b HTTP/1.1" % (method, request.url), *(b"%b: %b" % pair for pair in kept)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _answer_queue(self) -> None:
        """Answer requests in order until one has to wait; everything ready goes out in one write."""
        server = self._server
        out: list[bytes] = []
        while self._queue and not self._busy and self._closing_since is None:
            if len(out) >= ANSWERS_A_TURN:
                self._rest()
                break
            request = self._queue.popleft()
            if request.started - server.turn() > server.limits.turn_s:
                server.shed += 1
                answer: Answer | Later | Awaitable[Answer] = error_response(
                    503, "the server is overloaded", ((b"Retry-After", b"1"),)
                )
            else:
                answer = server.handler(request)
            if isinstance(answer, Later):
                self._busy, self._waiting = True, request
                answer.deliver = self._deliver
            elif isinstance(answer, bytes | Response):
                out.append(self._bytes(request, answer))
            else:
                self._wait_for(request, answer)
        if self._busy or self._resting or (refusal := self._refusal) is None:
            pass
        elif self._closing_since is None:
            self._closing_since = self._loop.time()
            out.append(render(refusal, server.date, keep_alive=False))
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if not self._busy:
            self._idle_since = server.now
            if self._closing_since is not None:
                self._finish()

    def _rest(self) -> None:
        self._resting = True
        self._transport.pause_reading()
        self._loop.call_soon(self._after_rest)

    def _after_rest(self) -> None:
        self._resting = False
        if self._transport.is_closing() or self._paused_since is not None:
            return
        self._answer_queue()
        self._read_on()

    def _read_on(self) -> None:
        """Take more from the socket, unless something holds it up."""
        held = self._busy or self._resting or self._paused_since is not None or self._closing_since is not None
        if not held and not self._transport.is_reading():
            self._transport.resume_reading()

    def _bytes(self, request: Request, answer: Answer) -> bytes:
        last = self._ended and not self._queue
        keep = request.keep_alive and not self._server.draining and not last
        if not keep:
            self._closing_since = self._loop.time()
        if keep and answer.__class__ is bytes and request.method != b"HEAD":
            return b"%b%d\r\n\r\n%b" % (self._server.answer_head, len(answer), answer)
        return render(answer, self._server.date, keep, request.method == b"HEAD")

    def _wait_for(self, request: Request, answer: Awaitable[Answer]) -> None:
        self._busy, self._waiting = True, request
        self._transport.pause_reading()
        asyncio.ensure_future(answer).add_done_callback(lambda future: self._deliver(future.result()))

    def _deliver(self, answer: Answer) -> None:
        """Send the answer that was waited for, and go on."""
        request, transport = self._waiting, self._transport
        self._busy, self._waiting = False, None
        if request is None or transport.is_closing():
            return
        transport.write(self._bytes(request, answer))
        if self._queue or self._refusal is not None or self._closing_since is not None:
            self._answer_queue()
        else:
            self._idle_since = self._server.now
        self._read_on()

    def _check_head(self, received: int) -> None:
        if self._head_done:
            return
        self._head_bytes = 0 if self._complete else self._head_bytes + received
        if self._head_bytes > self._server.limits.head_bytes:
            self._refuse(431, f"request line and headers exceed {self._server.limits.head_bytes} bytes")

    def _too_large(self) -> None:
        self._refuse(413, f"the body exceeds {self._server.limits.body_bytes} bytes; send the rows in several requests")

    def _refuse(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer with this after what came before, and close; what still arrives is dropped."""
        if self._refusal is None:
            self._server.bad_requests += 1
            self._refusal = error_response(status, message, headers)
            self._chunks.clear()

    def _finish(self) -> None:
        """All answers are written: close our side, wait for the client to close its own (``check`` bounds the wait)."""
        if self._transport.is_closing():
            return
        if self._refusal is None:
            self._transport.close()
        else:  # the client may still be sending: it must not lose the answer to a reset
            self._transport.resume_reading()
            if self._tls:  # has no half-closed state; the client's answer is not followed by a reset
                self._transport.close()
            else:
                self._transport.write_eof()

    # --- time ---------------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Close what has waited too long."""
        limits = self._server.limits
        if self._paused_since is not None:
            if now - self._paused_since > limits.write_s:
                self.abort()
        elif self._closing_since is not None:
            if not self._busy and now - self._closing_since > LINGER_S:
                self.abort()
        elif self._reading_since is not None:
            if now - self._reading_since > limits.request_s and not self._busy:
                self._refuse(408, f"the request did not arrive within {limits.request_s:g} s")
                self._answer_queue()
        elif not self._busy and now - self._idle_since > limits.idle_s:
            self._transport.close()

    def close_if_idle(self) -> None:
        if not self._busy and not self._queue and self._current is None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
