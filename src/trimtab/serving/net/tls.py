"""TLS from files: a certificate and its key, taken anew when they change, without a connection lost."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

from trimtab.core.domain.errors import UserError
from trimtab.serving.process.watched import stamp

HANDSHAKE_S = 10.0
"""A client that has not finished its handshake by then is cut off."""

_log = logging.getLogger("trimtab.serving")


class CertificateError(UserError):
    """The certificate or the key cannot be used."""


class Certificates:
    """``context`` is what the listeners get; each handshake takes the newest pair of files that was good."""

    def __init__(self, cert: Path, key: Path | None) -> None:
        """
        Raises:
            CertificateError: a file cannot be read, is not PEM, or the key does not belong to the certificate.
        """
        self._cert = cert
        self._key = key
        self._paths = (cert,) if key is None else (cert, key)
        self._stamp = stamp(self._paths)
        self.context = self._newest = self._load()
        self.context.sni_callback = self._choose

    def refresh(self) -> None:
        """Load the files if they changed; a bad pair (or half of a new one) leaves what is in use."""
        now = stamp(self._paths)
        if now == self._stamp:
            return
        try:
            self._newest = self._load()
        except CertificateError as error:
            _log.error("%s; the certificate in use stays", error)
        else:
            _log.info("the certificate was read again from %s", self._cert)
        self._stamp = now

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:  # noqa: ARG002  ssl's form
        # OpenSSL asks in every handshake, also where the client names no host.
        if self._newest is not context:
            connection.context = self._newest

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        names = " and ".join(map(str, self._paths))
        try:
            # An encrypted key is refused; without a password given, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._cert, self._key, password="")
        except ssl.SSLError as error:
            raise CertificateError(f"{names}: {_reason(error, self._key or self._cert)}") from error
        except OSError as error:
            where = next((path for path in self._paths if not path.is_file()), self._cert)
            raise CertificateError(f"{where} cannot be read: {error.strerror or error}") from error
        return context


def _reason(error: ssl.SSLError, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    if "ENCRYPTED" in key.read_text(errors="replace"):
        return "the key is encrypted; write one without a password, readable by the server alone"
    return f"no certificate and key in PEM ({error.reason or error})"
