"""Keep-alive clients on raw sockets that remember every prediction id they were given: quick enough to be real load."""

from __future__ import annotations

import json
import re
import socket
import threading
from typing import Any

ID = re.compile(rb'"prediction_ids":\["([^"]+)"\]')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class IdLoad:
    """So many clients at once, until the server goes or ``stop`` is called."""

    def __init__(self, host: str, port: int, path: str, body: Any, clients: int = 4) -> None:
        self._address = (host, port)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        self._request = head.encode() + b"\r\n\r\n" + data
        self._stopping = False
        self._lists: list[list[str]] = [[] for _ in range(clients)]
        self.refused = 0
        """Answers that were no success."""
        self._threads = [threading.Thread(target=self._client, args=(ids,)) for ids in self._lists]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client finish what it asked."""
        self._stopping = True
        for thread in self._threads:
            thread.join()

    @property
    def ids(self) -> list[str]:
        """Of all acknowledged predictions."""
        return [identity for ids in self._lists for identity in ids]

    @property
    def count(self) -> int:
        return sum(map(len, self._lists))

    def _client(self, ids: list[str]) -> None:
        while not self._stopping:
            try:
                with socket.create_connection(self._address, timeout=20) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    while not self._stopping and self._ask(sock, ids):
                        pass
            except ConnectionRefusedError:
                return
            except OSError:  # reset before an answer: nothing was acknowledged
                continue

    def _ask(self, sock: socket.socket, ids: list[str]) -> bool:
        """One request and its answer; False when the connection ends."""
        sock.sendall(self._request)
        received = b""
        while b"\r\n\r\n" not in received:
            part = sock.recv(65536)
            if not part:
                return False
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        found = LENGTH.search(head)
        length = int(found[1]) if found else 0
        while len(body) < length:
            part = sock.recv(65536)
            if not part:
                return False
            body += part
        identity = ID.search(body)
        if head.startswith(b"HTTP/1.1 200") and identity is not None:
            ids.append(identity[1].decode())
        else:
            self.refused += 1
        return b"connection: close" not in head.lower()
