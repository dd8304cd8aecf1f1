"""One connection that never waits: writes as much as the socket takes, reads whatever comes. Ends by SIGTERM.

    python benchmarks/serving/flood.py PORT PATH BODIES MEDIA

Prints ``flooding`` once its first answer is there, and at the end how many requests were answered with 200.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main(port: str, path: str, bodies: str, media: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\nContent-Length: ".encode()
    block = b"".join(head + b"%d\r\n\r\n" % len(body) + body for body in Path(bodies).read_bytes().splitlines())
    answered = 0

    def stop(*_: object) -> None:
        print(answered, flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        sock.settimeout(0.0)
        view = memoryview(block)
        while True:
            with contextlib.suppress(BlockingIOError):
                while True:
                    view = view[sock.send(view) :] or memoryview(block)
            with contextlib.suppress(BlockingIOError):
                while data := sock.recv(1 << 20):
                    if not answered:
                        print("flooding", flush=True)
                    answered += data.count(b"HTTP/1.1 200")
            time.sleep(0.0005)


if __name__ == "__main__":
    main(*sys.argv[1:])
