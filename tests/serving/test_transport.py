"""HTTP/1.1 as clients speak it, well and badly, over raw sockets."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from tests.serving.servers import INFER, Server, eventually, row

BODY = json.dumps(row()).encode()


def post(body: bytes = BODY, path: str = INFER, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *headers]
    if not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def responses(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each response in the stream."""
    out = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        out.append((status, rest[:length]))
        data = rest[length:]
    return out


def test_pipelined_requests_are_answered_in_order(plain: Server) -> None:
    """A client sends three requests in one packet."""
    requests = [post(json.dumps(row(id=str(i))).encode()) for i in range(3)]
    last = post(BODY, INFER, "Connection: close")
    found = responses(plain.raw(b"".join(requests) + last))
    assert [status for status, _ in found] == [200] * 4
    assert [json.loads(body).get("id") for _, body in found] == ["0", "1", "2", None]


def test_a_large_batch_keeps_its_place_among_pipelined_requests(plain: Server) -> None:
    """A batch is scored in a thread; the request behind it must not overtake."""
    rows = 4000
    batch = {
        "id": "big",
        "inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP64", "data": [0.123456] * rows * 4}],
    }
    small = post(json.dumps(row(id="small")).encode(), INFER, "Connection: close")
    found = responses(plain.raw(post(json.dumps(batch).encode()) + small))
    assert [json.loads(body)["id"] for _, body in found] == ["big", "small"]
    assert json.loads(found[0][1])["outputs"][0]["shape"] == [rows]


def test_one_byte_at_a_time(plain: Server) -> None:
    """A slow link splits the request anywhere."""
    with socket.create_connection((plain.host, plain.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = post(BODY, INFER, "Connection: close")
        for i in range(len(data)):
            sock.sendall(data[i : i + 1])
        assert responses(b"".join(iter(lambda: sock.recv(65536), b"")))[0][0] == 200


def test_chunked_body(plain: Server) -> None:
    """Streaming clients do not know the length."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY[i : i + 9]), BODY[i : i + 9]) for i in range(0, len(BODY), 9))
    data = post(chunks + b"0\r\n\r\n", INFER, "Transfer-Encoding: chunked", "Connection: close")
    assert responses(plain.raw(data))[0][0] == 200


def test_expect_100_continue(plain: Server) -> None:
    """curl asks before it sends a larger body."""
    with socket.create_connection((plain.host, plain.port), timeout=10) as sock:
        head, _, body = post(BODY, INFER, "Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert responses(b"".join(iter(lambda: sock.recv(65536), b"")))[0][0] == 200


def test_http_1_0_closes(plain: Server) -> None:
    """Old probes speak HTTP/1.0."""
    assert responses(plain.raw(b"GET /v2/health/live HTTP/1.0\r\n\r\n"))[0][0] == 200


def test_an_offer_to_upgrade_is_not_taken(plain: Server) -> None:
    """Java's HttpClient offers h2c with each first request."""
    upgrade = post(BODY, INFER, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    found = responses(plain.raw(upgrade + post(BODY, INFER, "Connection: close")))
    assert [status for status, _ in found] == [200, 200]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"POST /labels HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /labels HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST /labels HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /labels HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /labels HTTP/1.1\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", 417),
        (b"POST /labels HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
        (b"GET /" + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 20_000, 431),
    ],
)
def test_what_is_not_http_or_too_large_is_refused(plain: Server, data: bytes, status: int) -> None:
    """Port scanners, TLS on the wrong port, smuggling attempts, endless headers."""
    found = responses(plain.raw(data))
    assert [code for code, _ in found] == [status]
    assert "error" in json.loads(found[0][1])


def test_a_chunked_body_beyond_the_limit_is_refused_with_an_answer(plain: Server) -> None:
    """A client streams without end; it is told why before it is cut off."""
    with socket.create_connection((plain.host, plain.port), timeout=20) as sock:
        sock.sendall(post(b"", INFER, "Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
        for _ in range(18):
            sock.sendall(chunk)
        assert responses(sock.recv(65536))[0][0] == 413


def test_half_a_request_disturbs_nobody(plain: Server) -> None:
    """Clients die in the middle of a request."""
    for cut in (1, 20, 60, len(post()) - 1):
        with socket.create_connection((plain.host, plain.port), timeout=10) as sock:
            sock.sendall(post()[:cut])
    assert plain.post(INFER, row())[0] == 200


def test_a_client_that_does_not_read_does_not_hold_up_others(plain: Server) -> None:
    """A stuck client asks for much and reads nothing: the server stops reading from it, others are served."""
    with socket.create_connection((plain.host, plain.port), timeout=10) as stuck:
        stuck.setblocking(False)
        requests = post() * 200
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            try:
                stuck.send(requests)
            except BlockingIOError:
                break
        answers: list[int] = []

        def served() -> bool:
            answers.append(plain.post(INFER, row())[0])
            return answers[-1] == 200

        eventually(served)
        assert set(answers) <= {200, 503}, "on a slow machine a turn may be too long: told at once, and only that"


def test_keep_alive_after_an_error(plain: Server) -> None:
    """A 400 for one request leaves the connection in use for the next."""
    data = post(b"{") + post(BODY, INFER, "Connection: close")
    assert [status for status, _ in responses(plain.raw(data))] == [400, 200]


def test_a_client_that_closes_its_sending_side_gets_its_answer(plain: Server) -> None:
    """`nc -N` and some proxies half-close after the request; a batch is still being scored in its thread then."""
    rows = 4000
    batch = {"inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP64", "data": [0.123456] * rows * 4}]}
    with socket.create_connection((plain.host, plain.port), timeout=20) as sock:
        sock.sendall(post(json.dumps(batch).encode()))
        sock.shutdown(socket.SHUT_WR)
        assert responses(b"".join(iter(lambda: sock.recv(65536), b"")))[0][0] == 200


def test_a_flood_on_one_connection_starves_nobody(plain: Server) -> None:
    """A client sends thousands of requests ahead without reading answers; another one is answered meanwhile."""
    ahead = 3000
    with socket.create_connection((plain.host, plain.port), timeout=20) as flood:
        sender = threading.Thread(target=flood.sendall, args=(post() * ahead,), daemon=True)
        sender.start()
        answers = [plain.post(INFER, row())[0] for _ in range(20)]
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < ahead:
            more = flood.recv(1 << 20)
            assert more, f"closed after {received.count(b'HTTP/1.1 200 OK')} answers"
            received += more
        sender.join()
    assert answers == [200] * 20
    assert {status for status, _ in responses(received)} == {200}
