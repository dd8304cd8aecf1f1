"""Who may ask: a bearer token, and no page of another site in somebody's browser.

The token is compared in constant time. Clients that cannot send a header (Flagger's webhooks) give it as the password
of HTTP Basic: ``http://trimtab:TOKEN@host/…``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trimtab.core.domain.errors import RefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_CHARACTERS_MIN = 16
OPEN_PATHS = ("/health",)
"""Answered to anyone: it says nothing but that something answers."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask. Without a token: everybody who reaches the address."""

    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < TOKEN_CHARACTERS_MIN:
            raise RefusedError(
                f"the control API's token has {len(self.token)} characters; at least {TOKEN_CHARACTERS_MIN} are "
                "needed: openssl rand -hex 32"
            )

    def allows(self, authorization: str) -> bool:
        """Whether the header ``Authorization`` carries the token."""
        if self.token is None:
            return True
        return hmac.compare_digest(_given(authorization).encode(), self.token.encode())


def _given(authorization: str) -> str:
    """The token in the header; empty where there is none."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, access: Access, *, unprotected: bool) -> None:
    """Refuse to answer a network without a token.

    Args:
        host: the address to listen on.
        access: who may ask.
        unprotected: the project says that this is meant (``console.unprotected``).

    Raises:
        RefusedError: others could reach it, and nothing keeps them out.
    """
    if access.token is None and not unprotected and not loopback(host):
        raise RefusedError(
            f"the control API would listen on {host} without a token: set console.token_file (or "
            "TRIMTAB_CONSOLE_TOKEN), or say console.unprotected: true where something else keeps others out"
        )


class Guard:
    """The application behind the access: 401 without the token, 403 to pages of other sites."""

    def __init__(self, app: ASGIApp, access: Access, *, local: bool) -> None:
        self._app = app
        self._access = access
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        foreign = _foreign(str(scope["method"]), headers, local=self._local)
        if foreign is not None:
            await _refuse(403, foreign, send)
        elif scope["path"] not in OPEN_PATHS and not self._access.allows(headers.get("authorization", "")):
            await _refuse(401, "the control API needs its token: 'Authorization: Bearer TOKEN'", send)
        else:
            await self._app(scope, receive, send)


def _foreign(method: str, headers: Mapping[str, str], *, local: bool) -> str | None:
    """Why this looks like a page of another site that uses somebody's browser; None where it does not.

    A browser names the page's origin with every POST, and the host it believes to talk to with every request: on
    loopback a host of another name is a site that rebound its name to this machine.
    """
    host = headers.get("host", "")
    if local and not loopback(_hostname(host)):
        return f"this machine's control API is not '{host[:60]}'"
    if method in ("GET", "HEAD"):
        return None
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "requests of other sites' pages are not answered"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return f"requests of pages of {origin[:60]} are not answered"
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    return None if kind == "application/json" else f"the body must be application/json, found {kind[:60]}"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(code: int, words: str, send: Send) -> None:
    import json

    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="trimtab"'))
    body = json.dumps({"error": words}).encode() + b"\n"
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
