"""A request and a response, free of sockets and of any protocol spoken over them."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec

from trimtab.core.domain.errors import UserError

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

_NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class RequestError(UserError):
    """The request cannot be answered as it was sent: a status of 4xx (or 503: come back later) and a sentence."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)


def unavailable(message: str, retry_after_s: int = 1) -> RequestError:
    """503 with Retry-After."""
    return RequestError(503, message, ((b"Retry-After", b"%d" % retry_after_s),))


class Request:
    """One request, complete. Header names are in lower case; of repeated headers the last one counts."""

    __slots__ = ("body", "headers", "keep_alive", "method", "started", "url")

    def __init__(self) -> None:
        self.method = b""
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.keep_alive = True
        self.started = 0.0
        """``time.perf_counter()`` when the last byte had been read."""

    @property
    def path(self) -> bytes:
        """Without query and fragment; a full URL (as proxies send) is reduced to its path."""
        url = self.url
        if url.startswith(b"http"):
            rest = url.split(b"//", 1)[-1]
            url = b"/" + rest.split(b"/", 1)[1] if b"/" in rest else b"/"
        return url.split(b"?", 1)[0].split(b"#", 1)[0]

    @property
    def query(self) -> dict[str, str]:
        _, _, text = self.url.partition(b"?")
        return dict(parse_qsl(text.decode("latin-1")))

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; empty where none was sent."""
        return self.headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower().decode("latin-1")


def plain_body(request: Request, limit: int) -> bytes:
    """The body without its content encoding (gzip, deflate).

    Raises:
        RequestError: the encoding is unknown, the bytes are not of it, or they hold more than ``limit``.
    """
    encoding = request.headers[b"content-encoding"].strip().lower()
    if encoding == b"identity":
        return request.body
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise RequestError(415, f"content encoding '{encoding[:40].decode('latin-1')}' is not gzip or deflate")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == b"deflate" else 16))
    try:
        body = unpacker.decompress(request.body, limit)
    except zlib.error as error:
        raise RequestError(400, f"the body is not {encoding.decode()}: {error}") from None
    if unpacker.unconsumed_tail:
        raise RequestError(413, f"the body unpacks to more than {limit} bytes; send the rows in several requests")
    if not unpacker.eof:
        raise RequestError(400, f"the body ends before its {encoding.decode()} does")
    return body


class Response:
    """A status, a body, its type and further headers."""

    __slots__ = ("body", "headers", "media", "status")

    def __init__(
        self, body: bytes, status: int = 200, media: bytes = JSON, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.body = body
        self.status = status
        self.media = media
        self.headers = headers


Answer = bytes | Response
"""Plain bytes are JSON with status 200."""


class Later:
    """An answer that comes when this turn of the event loop has ended: whoever holds the request sets ``deliver``.

    A future would do the same at several times the price, once per request.
    """

    __slots__ = ("deliver",)

    deliver: Callable[[Answer], None]


Handler = Callable[[Request], "Answer | Later | Awaitable[Answer]"]
"""Never raises: what goes wrong is an answer too."""


def json_response(value: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """The value as JSON; NaN and infinity become null."""
    return Response(msgspec.json.encode(value), status, JSON, headers)


def error_response(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """``{"error": "…"}``, as the Open Inference Protocol has it."""
    return json_response({"error": message}, status, headers)


def render(response: Answer, date: bytes, keep_alive: bool, head_only: bool = False) -> bytes:
    """The bytes on the wire."""
    if response.__class__ is bytes:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %b\r\n" % date
        body, extra = response, _NO_HEADERS
    else:
        assert isinstance(response, Response)  # noqa: S101  narrows the type; Answer has no third member
        reason = REASONS.get(response.status, b"")
        head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nDate: %b\r\n" % (response.status, reason, response.media, date)
        body, extra = response.body, response.headers
    for name, value in extra:
        head += b"%b: %b\r\n" % (name, value)
    if not keep_alive:
        head += b"Connection: close\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), b"" if head_only else body)
