"""Many keep-alive connections from one thread: full load, or a rate that does not wait for answers (open loop).

    python benchmarks/serving/client.py PORT PATH BODIES MEDIA CONNECTIONS SECONDS

Latency in an open loop counts from when a request was due, not from when it could be sent, so a stalled server is
seen by every request that was due meanwhile (no coordinated omission).
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

Seen = Callable[[int, bytes, int, float, float], None]
"""Status, head and body, index of the request's body, when due, when answered (``perf_counter``)."""


@dataclass(slots=True)
class Tally:
    """What came of the requests."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    """Seconds, by status."""
    broken: int = 0
    """Connections that ended before their answer was there."""
    unsent: int = 0
    """Open loop: due, but no connection was free before the end."""
    seconds: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.latencies.setdefault(status, []).append(seconds)

    def count(self, status: int) -> int:
        return len(self.latencies.get(status, ()))

    def quantile_ms(self, status: int, share: float) -> float:
        """NaN without such an answer."""
        found = self.latencies.get(status)
        return float(np.quantile(found, share)) * 1000 if found else float("nan")


class Connection:
    """One request at a time."""

    __slots__ = ("due", "index", "received", "sock", "wanted")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.received = b""
        self.due = 0.0
        self.index = 0
        self.wanted = -1

    def send(self, index: int, request: bytes, due: float) -> None:
        self.index, self.due = index, due
        self.sock.send(request)  # small against any socket's buffer, which is empty: one request at a time

    def receive(self) -> tuple[int, bytes] | None:
        """Status and the whole answer, once it is there.

        Raises:
            ConnectionError: closed before.
        """
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("closed by the server")
        self.received = received = self.received + data if self.received else data
        if self.wanted < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return None
            self.wanted = _length(received[:end], end + 4)
        complete = len(received) >= self.wanted if self.wanted > 0 else received.endswith(b"0\r\n\r\n")
        if not complete:
            return None
        self.received, self.wanted = b"", -1
        return int(received[9:12]), received


def _length(head: bytes, start: int) -> int:
    """Bytes of the answer with its head; 0 where it comes in chunks."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return start + int(lower[at + 17 :].split(b"\r\n", 1)[0])


class Client:
    """Connections to one server and the requests they send in turn."""

    def __init__(self, port: int, path: str, bodies: Sequence[bytes], media: str, connections: int) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {media}\r\nContent-Length: "
        self.requests = [head.encode() + b"%d\r\n\r\n" % len(body) + body for body in bodies]
        self.port = port
        self.tally = Tally()
        self.seen: Seen | None = None
        self._turn: Iterator[int] = cycle(range(len(bodies)))
        self._selector = selectors.DefaultSelector()
        self._idle: deque[Connection] = deque()
        self._open = 0
        for _ in range(connections):
            self._connect()

    def _connect(self) -> None:
        connection = Connection(self.port)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        self._idle.append(connection)
        self._open += 1

    def flat_out(self, seconds: float, stop: Callable[[], bool] = lambda: False) -> Tally:
        """Send the next request as soon as the last was answered; then wait for what is under way."""
        began = now = time.perf_counter()
        while now - began < seconds and not stop():
            while self._idle:
                self._send(self._idle.popleft(), time.perf_counter())
            self._answers(0.05)
            now = time.perf_counter()
        self.tally.seconds = now - began
        self._rest(10.0)
        return self.tally

    def at_rate(self, rate: float, seconds: float) -> Tally:
        """So many requests a second come due, evenly, whatever the server does; each takes a free connection."""
        began = time.perf_counter()
        total, due = int(rate * seconds), 0
        while due < total:
            now = time.perf_counter()
            while due < total and self._idle and began + due / rate <= now:
                self._send(self._idle.popleft(), began + due / rate)
                due += 1
            if now - began > seconds + 2.0:  # every connection waits for its answer: the rest was never sent
                break
            self._answers(0.0 if self._idle else 0.002)
        self.tally.unsent = total - due
        self.tally.seconds = time.perf_counter() - began
        self._rest(10.0)
        return self.tally

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()

    def _send(self, connection: Connection, due: float) -> None:
        index = next(self._turn)
        try:
            connection.send(index, self.requests[index], due)
        except OSError:
            self._lost(connection)

    def _answers(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection: Connection = key.data
            try:
                answer = connection.receive()
            except BlockingIOError:
                continue
            except OSError:
                self._lost(connection)
                continue
            if answer is None:
                continue
            now = time.perf_counter()
            self.tally.add(answer[0], now - connection.due)
            if self.seen is not None:
                self.seen(answer[0], answer[1], connection.index, connection.due, now)
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        """Counted, and replaced by a new one."""
        self.tally.broken += 1
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._open -= 1
        self._connect()

    def _rest(self, wait_s: float) -> None:
        until = time.perf_counter() + wait_s
        while len(self._idle) < self._open and time.perf_counter() < until:
            self._answers(0.05)
        self.tally.broken += self._open - len(self._idle)


def figures(tally: Tally) -> dict[str, Any]:
    """As ``load.load`` returns them."""
    answered = np.array([seconds for status, found in tally.latencies.items() if status < 400 for seconds in found])
    refused = sum(len(found) for status, found in tally.latencies.items() if status >= 400)
    if not len(answered):
        answered = np.array([np.nan])
    p50, p90, p99, longest = (float(np.quantile(answered, share)) * 1000 for share in (0.5, 0.9, 0.99, 1.0))
    return {
        "requests": sum(map(len, tally.latencies.values())), "seconds": tally.seconds, "p50_ms": p50, "p90_ms": p90,
        "p99_ms": p99, "longest_ms": longest, "refused": refused, "broken": tally.broken,
    }  # fmt: skip


def main(words: Sequence[str]) -> None:
    port, path, bodies, media, connections, seconds = words
    lines = Path(bodies).read_bytes().splitlines()
    client = Client(int(port), path, lines, media, int(connections))
    print("JSON", json.dumps(figures(client.flat_out(float(seconds)))))


if __name__ == "__main__":
    main(sys.argv[1:])
