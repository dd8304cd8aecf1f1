"""The process of one worker of several: started by the supervisor as ``python -m …process.worker``, never by hand.

Its standard input is a socket to the supervisor: the order comes in, one line of JSON, and ``up`` goes out once it
answers.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from trimtab.serving.settings import ServerSettings

COMMAND = ("-P", "-m", "trimtab.serving.process.worker")
UP = b"up"
_CHANNEL = 0


class Order(msgspec.Struct, frozen=True):
    """What a worker is told."""

    settings: ServerSettings
    index: int
    supervisor: int
    """Process id of who gave the order."""
    listeners: list[int]
    """Descriptors of the server's listening sockets, inherited."""
    path: list[str]
    """Where modules are found: models may be made of the user's own."""


def encode(order: Order) -> bytes:
    """The order as a line."""
    return msgspec.json.encode(order, enc_hook=str) + b"\n"


def decode(line: bytes) -> Order:
    """The order of its line.

    >>> order = Order(ServerSettings(Path("d"), Path("l")), 1, 42, [5], ["/lib"])
    >>> decode(encode(order)) == order
    True
    """
    return msgspec.json.decode(line, type=Order, dec_hook=_path)


def _path(kind: type, value: Any) -> Any:
    if kind is not Path:
        raise NotImplementedError(f"settings of type {kind.__name__} cannot be handed to a worker")
    return Path(value)


def main() -> int:
    """Serve until told to end; 2 for a wrong call."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's: it ends its workers
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # "look at the routes now": nothing was looked at yet
    try:
        channel = socket.socket(fileno=os.dup(_CHANNEL))
        line = channel.makefile("rb").readline()
    except OSError as error:
        sys.stderr.write(f"trimtab.serving.process.worker is started by its supervisor, never by hand: {error}\n")
        return 2
    if not line.endswith(b"\n"):
        return 2  # the supervisor was killed before it had given the order
    order = decode(line)
    _leave_standard_input()
    sys.path[:] = order.path
    from trimtab.serving.run import Place, run_worker

    listeners = [socket.socket(fileno=descriptor) for descriptor in order.listeners]
    run_worker(order.settings, order.index, Place(order.supervisor, listeners, channel))
    return 0


def _leave_standard_input() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _CHANNEL)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main())
