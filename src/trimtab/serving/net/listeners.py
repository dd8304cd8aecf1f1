"""The sockets that a server listens on. Its supervisor opens them, its workers inherit them.

One socket per worker, all on one port: the kernel spreads connections evenly (SO_REUSEPORT). As long as one process of
the server lives, all of them are open, so connections that wait at a worker which was killed are answered by another.
"""

from __future__ import annotations

import contextlib
import os
import socket

BACKLOG = 2048


def open_listeners(host: str, port: int, count: int, kept: list[socket.socket]) -> list[socket.socket]:
    """Listening sockets for ``count`` workers: those of an earlier supervisor (``kept``), and new ones beside them.

    Args:
        port: 0 takes a free one where ``kept`` is empty.

    Raises:
        OSError: the address is taken by another program, or cannot be listened on.
    """
    listeners = list(kept)
    try:
        if not listeners:
            listeners.append(bound(host, port, shared=False))
            # Sharing is allowed only now: a port that another server holds must be refused, even one of our own kind.
            listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listeners[0].listen(BACKLOG)
        port = listeners[0].getsockname()[1]
        while len(listeners) < count:
            listeners.append(bound(host, port, shared=True))
            listeners[-1].listen(BACKLOG)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket bound to the address; ``shared``: others on this port may share it.

    Raises:
        OSError: the address cannot be bound.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def distinct(sockets: list[socket.socket]) -> list[socket.socket]:
    """Each kernel socket once; further descriptors of the same one are closed."""
    seen: dict[int, socket.socket] = {}
    for sock in sockets:
        if seen.setdefault(os.fstat(sock.fileno()).st_ino, sock) is not sock:
            sock.close()
    return list(seen.values())


def waiting(listener: socket.socket) -> socket.socket | None:
    """A connection that waits at a (non-blocking) listener; None when there is none."""
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        connection, _ = listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    return None
