"""How a new supervisor takes over the workers of one that was killed: it gets their listening sockets, then ends them.

Each worker of a supervised server has a Unix socket beside its card, ``<deployment>/servers/<pid>.sock``. Whoever
connects is told in one line of JSON who answers and whether its supervisor is gone, together with the listening
sockets; the word ``end`` lets the worker drain. So the port is listened on without a gap, and no process is ever ended
by a number that may meanwhile be another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

END = b"end"
SOCKETS_MAX = 250
"""The kernel passes at most 253 in one message."""
ANSWER_S = 2.0
PATH_MAX = 100
"""A Unix socket's path may have 108 bytes."""

_log = logging.getLogger("trimtab.serving")


class Greeting(msgspec.Struct, frozen=True):
    """What a worker says first."""

    pid: int
    orphaned: bool
    """Its supervisor is gone."""
    supervisor: int


@dataclass(frozen=True, slots=True)
class Survivor:
    """A worker that was found; ``sockets`` are its listening sockets, ours now too."""

    greeting: Greeting
    sockets: list[socket.socket]
    connection: socket.socket

    def end(self) -> None:
        """Let it drain and end."""
        with contextlib.suppress(OSError):  # it ended by itself
            self.connection.sendall(END)
        self.connection.close()

    def leave(self) -> None:
        """Let it go on."""
        for sock in (*self.sockets, self.connection):
            sock.close()


class Handover:
    """A worker's side."""

    def __init__(self, servers: Path, listeners: list[socket.socket], supervisor: int, end: Callable[[], None]) -> None:
        """``servers``: the folder of the cards. ``end`` is called when a new supervisor says so."""
        self._name = f"{os.getpid()}.sock"
        self._servers = servers
        self._listeners = listeners[:SOCKETS_MAX]
        self._supervisor = supervisor
        self._end = end
        self._socket: socket.socket | None = None
        self._open: set[socket.socket] = set()

    @property
    def orphaned(self) -> bool:
        return os.getppid() != self._supervisor

    def start(self) -> None:
        """Begin to listen. Where the folder takes no sockets, serving goes on without."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._servers.mkdir(parents=True, exist_ok=True)
            with _address(self._servers, self._name) as address:
                with contextlib.suppress(FileNotFoundError):
                    (self._servers / self._name).unlink()
                sock.bind(address)
            sock.listen(8)
        except OSError as error:
            sock.close()
            _log.warning("%s: a new supervisor could not take over from this worker: %s", self._servers, error)
            return
        sock.setblocking(False)
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._greet)

    def close(self) -> None:
        """Greet nobody any more."""
        loop = asyncio.get_running_loop()
        for sock in (*self._open, *([self._socket] if self._socket is not None else [])):
            loop.remove_reader(sock)
            sock.close()
        self._open.clear()
        if self._socket is not None:
            self._socket = None
            with contextlib.suppress(OSError):
                (self._servers / self._name).unlink()

    def _greet(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):  # who asked is gone again
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            greeting = msgspec.json.encode(Greeting(os.getpid(), self.orphaned, self._supervisor))
            try:
                socket.send_fds(connection, [greeting], [listener.fileno() for listener in self._listeners])
            except OSError:
                connection.close()
                raise
            self._open.add(connection)
            asyncio.get_running_loop().add_reader(connection, self._hear, connection)

    def _hear(self, connection: socket.socket) -> None:
        try:
            word = connection.recv(16)
        except OSError:
            word = b""
        asyncio.get_running_loop().remove_reader(connection)
        self._open.discard(connection)
        connection.close()
        if word == END:
            self._end()


def survivors(servers: Path, host: str, port: int, besides: int) -> list[Survivor]:
    """Living workers of this machine that answer at this address (any port where ``port`` is 0), but those of the
    supervisor ``besides``.
    """
    found = []
    for card in sorted(servers.glob("*.json")):
        try:
            known = msgspec.json.decode(card.read_bytes(), type=dict[str, object])
        except (OSError, msgspec.DecodeError):
            continue  # a card that is being removed or is damaged names nobody
        ours = known.get("host") == socket.gethostname() and known.get("supervisor", besides) != besides
        if ours and _is_at(known.get("public"), host, port):
            survivor = _ask(servers, f"{card.stem}.sock")
            if survivor is not None:
                found.append(survivor)
    return found


def _ask(servers: Path, name: str) -> Survivor | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_S)
    try:
        with _address(servers, name) as address:
            connection.connect(address)
        text, descriptors, _, _ = socket.recv_fds(connection, 4096, SOCKETS_MAX)
    except OSError:
        connection.close()  # its process is gone, or takes no part
        return None
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        greeting = msgspec.json.decode(text, type=Greeting)
    except msgspec.DecodeError:
        for sock in (*sockets, connection):
            sock.close()
        return None
    return Survivor(greeting, sockets, connection)


def _is_at(url: object, host: str, port: int) -> bool:
    if not isinstance(url, str):
        return False
    try:
        there = urlsplit(url)
        hosts = {host} | {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (ValueError, OSError):
        return False
    return there.hostname in hosts and port in (0, there.port)


@contextlib.contextmanager
def _address(folder: Path, name: str) -> Iterator[str]:
    """A path to the socket that is short enough, however deep the folder lies (Linux)."""
    path = str(folder / name)
    if len(os.fsencode(path)) <= PATH_MAX:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
