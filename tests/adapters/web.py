"""A small HTTP server on a free local port."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Receiver:
    """Takes POSTs into ``bodies``, answers GETs from ``pages`` or in ``turns``; ``status`` may be set to an error."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.pages: dict[str, bytes] = {}
        self.turns: dict[str, list[bytes]] = {}
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if receiver.status == 200:
                    receiver.bodies.append(body)
                self.answer(receiver.status, b"{}")

            def do_GET(self) -> None:
                turns = receiver.turns.get(self.path)
                page = turns.pop(0) if turns else receiver.pages.get(self.path)
                self.answer(receiver.status if page is not None else 404, page or b"")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the base class
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
