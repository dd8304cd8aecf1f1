"""The client against servers that behave badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trimtab.core.domain.errors import ExternalError, UserError
from trimtab.replay.client import GIVE_UP, Client


class Handler(BaseHTTPRequestHandler):
    """Answers the body; what to do beside is in the path."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/cut"):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if self.path.endswith("/junk"):
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            self.close_connection = True
            return
        self.send_response(500 if self.path.endswith("/fail") else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path.endswith("/close"):
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Not on the test's screen."""


@contextmanager
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/base"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_replies_come_in_the_order_asked() -> None:
    """Eight connections answer in any order."""
    with served() as url, Client(url, connections=8) as client:
        bodies = [str(i).encode() for i in range(200)]
        replies = client.exchange([client.post(b"/echo", body) for body in bodies])
    assert [reply.body for reply in replies] == bodies
    assert all(reply.ok for reply in replies)


def test_one_bad_answer_does_not_hurt_its_neighbours() -> None:
    """The server fails on one request, cuts another's connection, and talks nonsense to a third."""
    with served() as url, Client(url, connections=1) as client:
        paths = [b"/echo", b"/fail", b"/cut", b"/echo", b"/junk", b"/echo", b"/close", b"/echo"]
        replies = client.exchange([client.post(path, b"x") for path in paths])
    assert [reply.status for reply in replies] == [200, 500, 0, 200, 0, 200, 200, 200]
    assert [reply.ok for reply in replies] == [True, False, False, True, False, True, True, True]
    assert b"lost" in replies[2].body
    assert b"not HTTP" in replies[4].body


def test_connections_closed_between_two_exchanges_are_opened_anew() -> None:
    """The server closed idle connections while a model was trained."""
    with served() as url, Client(url, connections=2) as client:
        client.exchange([client.post(b"/echo", b"x")] * 4)
        for connection in client._connections:
            connection.used_at = -1e9
        replies = client.exchange([client.post(b"/echo", b"y")] * 4)
    assert [reply.body for reply in replies] == [b"y"] * 4


def test_a_server_that_never_listens_is_given_up() -> None:
    """Nothing runs on the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with Client(f"http://127.0.0.1:{port}", connections=4) as client:
            few = client.exchange([client.get(b"/")] * 3)
            assert [reply.status for reply in few] == [0, 0, 0]
            assert all(reply.body.startswith(b"refused") for reply in few)
            with pytest.raises(ExternalError, match=r"refused 5\d connections in a row .* is it running"):
                client.exchange([client.get(b"/")] * (GIVE_UP + 10))


@pytest.mark.parametrize("url", ["127.0.0.1:80", "https://x", "http://", "ftp://a/b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A typo in --url."""
    with pytest.raises(UserError, match="http://host:port"):
        Client(url)
