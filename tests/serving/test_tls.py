"""TLS by files, with the standard library's client: reload, several workers, clients that speak it badly."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.certificates import Authority
from tests.serving.servers import INFER, Server, eventually, row, start
from trimtab.serving.net.tls import CertificateError, Certificates


def client_of(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.path))


def ask(server: Server, context: ssl.SSLContext, body: bytes | None = None) -> tuple[int, dict[str, str], str]:
    """Status and headers of an infer, and the name on the certificate."""
    connection = http.client.HTTPSConnection(server.host, server.port, timeout=30, context=context)
    try:
        connection.request("POST", INFER, body or json.dumps(row()), {"Content-Type": "application/json"})
        certificate = connection.sock.getpeercert()
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders()), certificate["subject"][0][0][1]
    finally:
        connection.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_renewed_certificate_is_taken_without_a_restart(packages: Path, tmp_path: Path, workers: str) -> None:
    """cert-manager writes new files: new connections get them, an open one goes on; half of a pair changes nothing."""
    authority, cert, key = Authority(tmp_path / "ca.pem"), tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue(cert, key, "first")
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--workers", workers)
    with start(tmp_path, {1: packages / "plain-1"}, None, *options) as server:
        context = client_of(authority)
        assert ask(server, context)[::2] == (200, "first")
        kept = http.client.HTTPSConnection(server.host, server.port, timeout=30, context=context)
        kept.request("GET", "/v2")
        assert kept.getresponse().read().startswith(b'{"name":"trimtab"')
        authority.issue(cert, key, "second")
        eventually(lambda: {ask(server, context)[2] for _ in range(6)} == {"second"})
        cert.write_text("no certificate")
        eventually(lambda: "no certificate and key in PEM" in (tmp_path / "stderr.txt").read_text())
        assert ask(server, context)[::2] == (200, "second")
        kept.request("GET", "/v2")
        assert kept.getresponse().status == 200
        kept.close()
        cards = [json.loads(path.read_text()) for path in (server.deployment / "servers").glob("*.json")]
        assert len(cards) == int(workers)
        for card in cards:
            assert card["public"].startswith("https://")
            assert card["url"].startswith("http://127.0.0.1:"), "the control plane asks at a port of its own"


def test_versions_of_tls_and_clients_that_speak_none(packages: Path, tmp_path: Path) -> None:
    """TLS 1.2 and 1.3 are spoken, 1.1 and plain HTTP are not; a refusal reaches the client; nobody else notices."""
    authority, cert, key = Authority(tmp_path / "ca.pem"), tmp_path / "both.pem", tmp_path / "key.pem"
    authority.issue(cert, key, "one file")
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    with start(tmp_path, {1: packages / "plain-1"}, None, "--tls-cert", str(cert)) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_of(authority)
            context.minimum_version = context.maximum_version = version
            assert ask(server, context)[0] == 200
        nameless = client_of(authority)
        nameless.check_hostname = False
        assert ask(server, nameless)[0] == 200
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            ask(server, old)
        assert b"HTTP/1.1 200" not in plain_bytes(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain_bytes(server, b"\x16\x03\x01\x00\x05hello")
        assert ask(server, client_of(authority), b" " * (17 << 20))[0] == 413
        assert ask(server, client_of(authority))[0] == 200
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


def plain_bytes(server: Server, data: bytes) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        sock.sendall(data)
        try:
            return b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:
            return b""


def test_what_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    """A key of another certificate, one with a password, files that are not there."""
    authority, cert, key = Authority(tmp_path / "ca.pem"), tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue(cert, key, "ours")
    other, locked = tmp_path / "other.pem", tmp_path / "locked.pem"
    authority.issue(tmp_path / "unused.pem", other, "other")
    with pytest.raises(CertificateError, match="does not belong"):
        Certificates(cert, other)
    authority.issue(tmp_path / "locked-cert.pem", locked, "locked", b"secret")
    with pytest.raises(CertificateError, match="encrypted"):
        Certificates(tmp_path / "locked-cert.pem", locked)
    with pytest.raises(CertificateError, match=r"nowhere.pem cannot be read"):
        Certificates(cert, tmp_path / "nowhere.pem")
    command = [sys.executable, "-m", "trimtab.serving", "--deployment", str(tmp_path), "--tls-cert", str(cert)]
    done = subprocess.run([*command, "--tls-key", str(other)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "does not belong" in done.stderr
    assert "Traceback" not in done.stderr
