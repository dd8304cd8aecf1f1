"""What stands between the sockets and the app, where it is wanted: TLS, tokens, traces. Otherwise nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.serving.app import App
from trimtab.serving.net.auth import Guard, Tokens
from trimtab.serving.net.http import Handler
from trimtab.serving.process.metrics import Metrics
from trimtab.serving.scoring.live import LiveDeployment
from trimtab.serving.settings import ServerSettings

LOOK_S = 1.0
"""How often the files of tokens and certificates are looked at."""


class Edge:
    """Built once, when a worker starts; ``handle`` is the app's own where nothing is configured."""

    def __init__(
        self,
        settings: ServerSettings,
        app: App,
        live: LiveDeployment,
        metrics: Metrics,
        clock: Callable[[], float],
        about: tuple[str, str],
        variables: Mapping[str, str],
    ) -> None:
        """
        Raises:
            UserError: tokens, certificates or the exporter of traces cannot be used.
        """
        security = settings.security
        self.handle: Handler = app.handle
        self.listening: dict[str, Any] = {}
        """What the event loop is told of connections: how to speak TLS."""
        self._refreshed: list[Callable[[], None]] = []
        self._closing: list[Callable[[], None]] = []
        if security.guarded:
            tokens = Tokens(security)
            self._refreshed.append(tokens.refresh)
            self.handle = Guard(self.handle, tokens, security, app.routes, metrics.response)
        if settings.tracing:
            from trimtab.serving.net.tracing import Tracing, provider

            tracing = Tracing(self.handle, provider(variables, *about), live, app.routes, clock)
            self._closing.append(tracing.close)
            self.handle = tracing
        if security.tls_cert is not None:
            from trimtab.serving.net.tls import HANDSHAKE_S, Certificates

            certificates = Certificates(security.tls_cert, security.tls_key)
            self._refreshed.append(certificates.refresh)
            self.listening = {"ssl": certificates.context, "ssl_handshake_timeout": HANDSHAKE_S}

    @property
    def scheme(self) -> str:
        """Of the server's address."""
        return "https" if self.listening else "http"

    async def watch(self) -> None:
        """Follow the files until cancelled; returns at once where there are none."""
        while self._refreshed:
            await asyncio.sleep(LOOK_S)
            for refresh in self._refreshed:
                refresh()

    def close(self) -> None:
        for close in self._closing:
            close()
